"""What a client does in a masked sum."""

import hmac
import secrets as system
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from torch import Tensor

from privfl.core import Advertisement, At, Party, ProtocolAbort, State
from privfl.core._advertisement import (
    SEED_BYTES,
    Secrets,
    read_advertisements,
    write_advertisements,
)
from privfl.core._letter import HEAD_BYTES, SIGNATURE_BYTES, Letter, pieces
from privfl.core._masking_letters import (
    BOX_BYTES,
    SHARE_BYTES,
    UNKNOWN_SHARE,
    Advertise,
    Mask,
    Masked,
    Share,
    Sign,
    Unmask,
)
from privfl.core._roll import Roll
from privfl.core._subset import from_bits, to_bits
from privfl.crypto import masked, seal, share_to_bytes, split, unseal
from privfl.defenses.masking._sum import MaskedSum
from privfl.parts import Turn
from privfl.parts._sides import Client

Kind = TypeVar("Kind", bound=Letter)


@dataclass(frozen=True)
class ClientSide(Client):
    """Take one turn of one client.

    What it keeps between two turns names the one letter that it will answer next: a letter that
    comes twice, late or early is out of turn.
    """

    sum: MaskedSum
    me: Party
    at: At = field(repr=False)

    def reply(self, letter: bytes, vector: Callable[[], Tensor]) -> Turn:
        """Answer the letter that is next."""
        match self._kept.get("next", "advertise"):
            case "advertise":
                self._read(Advertise, letter)
                return self._advertise()
            case "share":
                return self._share(self._read(Share, letter))
            case "mask":
                return self._mask(self._read(Mask, letter), vector)
            case "sign":
                return self._sign(self._read(Sign, letter))
            case "unmask":
                return self._unmask(self._read(Unmask, letter))
        raise ProtocolAbort("A letter after the last one of a sum")

    def _read(self, kind: type[Kind], letter: bytes) -> Kind:
        bits, counted = len(self.sum.members), len(self.sum.members) * Advertisement.SIZE
        return kind.read(letter, largest=counted + bits + HEAD_BYTES)

    @property
    def _secrets(self) -> Secrets:
        return Secrets(*pieces(self._bytes("secrets"), SEED_BYTES, 3))

    # advertise

    def _advertise(self) -> Turn:
        # from the system also in a seeded run: two runs of one seed must not share masks
        drawn = system.token_bytes(3 * SEED_BYTES)
        mine = Secrets(*pieces(drawn, SEED_BYTES, 3))
        made = Advertisement.signed(mine, self.me, self.sum.occasion, self._identity)
        kept: State = {"next": "share", "secrets": drawn, "advertised": made.to_bytes()}
        return Turn(made.to_bytes(), kept)

    # share

    def _share(self, letter: Share) -> Turn:
        roll = self._checked_roll(letter)
        peers = self._sharing_with(roll)
        points = [roll.point_of(who) for who in (*peers, self.me)]
        mask_seed, self_seed = self._secrets.mask_seed, self._secrets.self_seed
        of_mask, of_self = (self._split(seed, points) for seed in (mask_seed, self_seed))
        boxes = [
            self._sealed(roll, who, of_mask[roll.point_of(who)] + of_self[roll.point_of(who)])
            for who in peers
        ]
        kept: State = {
            "next": "mask",
            "secrets": self._bytes("secrets"),
            "own": of_self[roll.point_of(self.me)],
            "root": roll.root,
            "peers": to_bits(peers, roll.neighbors_of(self.me)),
            "keys": write_advertisements(roll.keys, peers),
        }
        return Turn(b"".join(boxes), kept)

    def _checked_roll(self, letter: Share) -> Roll:
        """Read the advertisements: each signed by its member for this very sum, mine unchanged."""
        present = from_bits(letter.present, self.sum.members)
        self.sum.require_enough(len(present), "advertise")
        keys = read_advertisements(letter.advertisements, present)
        if self.me not in keys or not hmac.compare_digest(
            keys[self.me].to_bytes(), self._bytes("advertised")
        ):
            raise ProtocolAbort("My advertisement was changed or left out")
        for who, advertisement in keys.items():
            self._require_signed(who, advertisement)
        return self.sum.roll(keys)

    def _require_signed(self, who: Party, advertisement: Advertisement) -> None:
        if who not in self._registry:
            raise ProtocolAbort(f"Client {who} is not in the registry")
        if not advertisement.is_signed_by(who, self.sum.occasion, self._registry):
            raise ProtocolAbort(
                f"Client {who} did not sign these keys for this session and model: the server "
                "changed them, or sent other clients another model"
            )

    def _sharing_with(self, roll: Roll) -> tuple[Party, ...]:
        peers = roll.peers_of(self.me)
        self._require_peers(len(peers), "advertise")
        return peers

    def _require_peers(self, left: int, stage: str) -> None:
        """Abort where so few neighbours are left that all of them may be corrupt."""
        needed = self.sum.safety.threshold - (1 if self.sum.safety.complete else 0)
        if left < needed:
            raise ProtocolAbort(f"{left} neighbours are left at {stage}, {needed} are needed")

    def _split(self, seed: bytes, points: list[int]) -> dict[int, bytes]:
        shares = split(int.from_bytes(seed, "big"), self.sum.safety.threshold, points)
        return {point: share_to_bytes(share) for point, share in shares.items()}

    def _sealed(self, roll: Roll, receiver: Party, shares: bytes) -> bytes:
        key, text = roll.box(self._secrets.box_seed, self.me, self.me, receiver)
        return seal(key, shares, text)

    # mask

    @cached_property
    def _roll(self) -> Roll:
        """The roll as kept: of the advertisements, those of the neighbours only."""
        bare = Roll(
            self.sum.occasion,
            self.sum.members,
            self.sum.safety.neighbors,
            {},
            self._bytes("root"),
        )
        peers = from_bits(self._bytes("peers"), bare.neighbors_of(self.me))
        return replace(bare, keys=read_advertisements(self._bytes("keys"), peers))

    @cached_property
    def _neighbors(self) -> tuple[Party, ...]:
        return self._roll.neighbors_of(self.me)

    def _mask(self, letter: Mask, vector: Callable[[], Tensor]) -> Turn:
        senders = from_bits(letter.senders, self._neighbors)
        pieces(letter.boxes, BOX_BYTES, len(senders))
        if not set(senders) <= set(self._roll.keys):
            raise ProtocolAbort("A box of somebody who did not advertise")
        self._require_peers(len(senders), "share")
        seed, roll = self._secrets.mask_seed, self._roll
        keys = [roll.pair_mask(seed, self.me, who) for who in senders]
        keys.append((roll.self_mask(self._secrets.self_seed, self.me), 1))
        words = masked(self._words(vector()), keys, self.sum.bits)
        signature = self._identity.sign(roll.edges_text(self.me, letter.senders))
        kept: State = {
            **self._kept,
            "next": "sign",
            "senders": letter.senders,
            "boxes": letter.boxes,
        }
        sealed = self._identity.sign(roll.words_text(self.me, words))
        return Turn(Masked(words, letter.senders, signature, sealed).to_bytes(), kept)

    def _words(self, vector: Tensor) -> "np.ndarray[tuple[int], np.dtype[np.unsignedinteger]]":
        """Take integers into the ring: (d,) int64 -> (d,) words."""
        return vector.detach().cpu().numpy().astype(self.sum.word)  # wraps, as a ring does

    # unmask, first exchange: agree on who is counted

    @cached_property
    def _senders(self) -> tuple[Party, ...]:
        return from_bits(self._bytes("senders"), self._neighbors)

    def _sign(self, letter: Sign) -> Turn:
        survivors = from_bits(letter.survivors, self.sum.members)
        self.sum.require_enough(len(survivors), "mask")
        if self.me not in survivors:
            raise ProtocolAbort("The server says that I am gone")
        self._check_edges(set(survivors), letter.edges)
        signature = self._identity.sign(self._roll.survivors_text(survivors))
        return Turn(signature, {**self._kept, "next": "unmask", "survivors": letter.survivors})

    def _check_edges(self, survivors: set[Party], edges: bytes) -> None:
        """Abort unless each neighbour who is counted masked with me, and I with it.

        Otherwise a server could hide clients from each other, cut the graph where it likes, and
        open the sum of one side alone.
        """
        counted = [who for who in self._neighbors if who in survivors]
        width = len(to_bits((), self._neighbors))
        for who, piece in zip(
            counted, pieces(edges, width + SIGNATURE_BYTES, len(counted)), strict=True
        ):
            said, signature = piece[:width], piece[width:]
            text = self._roll.edges_text(who, said)
            if not self._registry.has_signed(who, text, signature):
                raise ProtocolAbort(f"Client {who} did not sign with whom it masked")
            with_me = self.me in from_bits(said, self._roll.neighbors_of(who))
            if not (with_me and who in self._senders):
                raise ProtocolAbort(f"Client {who} and I were told different things of each other")

    # unmask, second exchange: show shares

    def _unmask(self, letter: Unmask) -> Turn:
        survivors = from_bits(self._bytes("survivors"), self.sum.members)
        self._check_quorum(letter, survivors)
        counted = set(survivors)
        boxes = pieces(self._bytes("boxes"), BOX_BYTES, len(self._senders))
        shares = [
            self._share_of(who, box, 1 if who in counted else 0)
            for who, box in zip(self._senders, boxes, strict=True)
        ]
        return Turn(b"".join([self._bytes("own"), *shares]), {"next": "nothing"}, contributed=True)

    def _check_quorum(self, letter: Unmask, survivors: tuple[Party, ...]) -> None:
        signers = from_bits(letter.signers, self.sum.members)
        quorum, text = self.sum.safety.quorum, self._roll.survivors_text(survivors)
        if len(signers) < quorum or not set(signers) <= set(survivors):
            raise ProtocolAbort(f"{len(signers)} signed who is counted, {quorum} are needed")
        signatures = pieces(letter.signatures, SIGNATURE_BYTES, len(signers))
        for who, signature in zip(signers, signatures, strict=True):
            if not self._registry.has_signed(who, text, signature):
                raise ProtocolAbort(f"Client {who} did not sign the survivors that I was shown")

    def _share_of(self, who: Party, box: bytes, kind: int) -> bytes:
        """Open a box and take the share of the mask key (0) or of the self mask (1), never both."""
        key, text = self._roll.box(self._secrets.box_seed, self.me, who, self.me)
        try:
            both = unseal(key, box, text)
        except ValueError:  # its sender lied, or the server did: no share of it is known
            return UNKNOWN_SHARE
        if len(both) != 2 * SHARE_BYTES:
            return UNKNOWN_SHARE
        return both[kind * SHARE_BYTES : (kind + 1) * SHARE_BYTES]
