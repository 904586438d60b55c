"""The seeds that a server got hold of, and what they open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from privfl.attacks.protocol._conversation import Conversation
from privfl.core import Party
from privfl.core._advertisement import SEED_BYTES
from privfl.core._letter import pieces
from privfl.core._masking_letters import SHARE_BYTES, UNKNOWN_SHARE, Masked
from privfl.core._roll import Roll
from privfl.core._subset import from_bits
from privfl.crypto import MaskKey, combine, share_from_bytes

MASK, SELF = 0, 1  # of a client's two secrets, in the order in which a box holds their shares
Shares = dict[int, int]


@dataclass(frozen=True)
class Gathered:
    """Sort shares by whose secret they are of, and of which of the two.

    Attributes:
        shares: by owner and kind, each by the point of its holder.
        known: seeds that need no shares: those of the server's own clients.
        dares: whether a secret is rebuilt of fewer shares than it was split for, which gives a
            random number.
    """

    talk: Conversation
    roll: Roll
    shares: dict[tuple[Party, int], Shares] = field(default_factory=dict, repr=False)
    known: dict[tuple[Party, int], bytes] = field(default_factory=dict, repr=False)
    dares: bool = False

    def daring(self) -> "Gathered":
        """Rebuild secrets of too few shares as well, which gives random numbers."""
        return replace(self, dares=True)

    def put(self, owner: Party, kind: int, holder: Party, share: bytes) -> None:
        """Keep one share, unless its holder knew none."""
        if share != UNKNOWN_SHARE:
            place = self.shares.setdefault((owner, kind), {})
            place[self.roll.point_of(holder)] = share_from_bytes(share)

    def file(self, who: Party, reply: bytes, seen: tuple[Party, ...], counted: set[Party]) -> None:
        """Keep what a client shows: of its own self mask, and of who sent it a box."""
        own, *others = pieces(reply, SHARE_BYTES, len(seen) + 1)
        self.put(who, SELF, who, own)
        for owner, share in zip(seen, others, strict=True):
            self.put(owner, SELF if owner in counted else MASK, who, share)

    def seed(self, owner: Party, kind: int) -> bytes | None:
        """Rebuild a secret, or return None where too few shares of it came."""
        if (owner, kind) in self.known:
            return self.known[owner, kind]
        held, needed = self.shares.get((owner, kind), {}), self.talk.numbers.threshold
        if not held or (len(held) < needed and not self.dares):
            return None
        first = sorted(held)[:needed]
        secret = combine({point: held[point] for point in first})
        return (secret % (1 << 8 * SEED_BYTES)).to_bytes(SEED_BYTES, "big")

    def guess(self, victim: Party, sent: Mapping[Party, Masked]) -> Tensor | None:
        """Take every mask off the victim's vector that is known: -> (d,) int64."""
        return self.sum_of((victim,), sent)

    def sum_of(self, who: Sequence[Party], sent: Mapping[Party, Masked]) -> Tensor | None:
        """Add some vectors and take off each mask that stays and is known: -> (d,) int64.

        Masks between two of them cancel. Those that are not known stay in it, as noise.
        """
        if not who or not set(who) <= set(sent):
            return None
        words = [self.talk.words(sent[member]) for member in who]
        masks = [mask for member in who for mask in self._left(member, sent[member], set(who))]
        return self.talk.without(sum(words[1:], words[0]), masks)

    def _left(self, owner: Party, sent: Masked, cancel: set[Party]) -> list[MaskKey]:
        peers = set(from_bits(sent.edges, self.roll.neighbors_of(owner))) - cancel
        own = self.seed(owner, SELF)
        mine = [] if own is None else [(self.roll.self_mask(own, owner), 1)]
        return mine + [pair for peer in peers if (pair := self._pair(owner, peer))]

    def _pair(self, owner: Party, peer: Party) -> MaskKey | None:
        """Return the mask between two, of either one's seed, with the owner's sign."""
        its = self.seed(peer, MASK)
        if its is not None:
            key, sign = self.roll.pair_mask(its, peer, owner)
            return key, -sign
        mine = self.seed(owner, MASK)
        return None if mine is None else self.roll.pair_mask(mine, owner, peer)
