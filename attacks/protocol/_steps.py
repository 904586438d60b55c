"""The steps of a masked sum as a server takes them, each with its lies left to choose."""

from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from privfl.attacks.protocol._conversation import Conversation
from privfl.attacks.protocol._puppet import Puppet
from privfl.attacks.protocol._seeds import MASK, SELF, Gathered
from privfl.core import Advertisement, Party
from privfl.core._advertisement import write_advertisements
from privfl.core._letter import pieces
from privfl.core._masking_letters import BOX_BYTES, Advertise, Mask, Masked, Share, Sign, Unmask
from privfl.core._roll import Roll
from privfl.core._subset import to_bits
from privfl.crypto import Identity

Sees = Callable[[Party, Party], bool]  # (receiver, sender): whether it is shown the other's box


def everything(receiver: Party, sender: Party) -> bool:
    """Show each client the boxes of all its neighbours."""
    del receiver, sender
    return True


class Steps:
    """Walk through one sum. Each step asks those who went along so far.

    Attributes:
        keys: advertisements that came.
        roll: of those that are relayed.
        boxes: by sender and receiver.
        shown: whose boxes each client was given.
        sent: the masked vectors.
        gathered: shares and seeds.
    """

    def __init__(self, talk: Conversation, puppets: Mapping[Party, Identity] | None = None) -> None:
        self.talk = talk
        self.corrupt(puppets or {})
        self.keys: dict[Party, Advertisement] = {}
        self.boxes: dict[Party, dict[Party, bytes]] = {}
        self.shown: dict[Party, tuple[Party, ...]] = {}
        self.sent: dict[Party, Masked] = {}
        self.roll: Roll
        self.gathered: Gathered

    def corrupt(self, identities: Mapping[Party, Identity]) -> None:
        """Play some members, with keys drawn now."""
        self.puppets = {who: Puppet.of(who, key) for who, key in identities.items()}

    @property
    def honest(self) -> tuple[Party, ...]:
        """Members who are there and whom the server does not play."""
        present = self.talk.opening.present
        return tuple(who for who in present if who not in self.puppets)

    def advertise(self) -> None:
        """Open the round and take the keys."""
        replies = self.talk.ask("advertise", dict.fromkeys(self.honest, Advertise()))
        self.keys = {who: Advertisement.from_bytes(reply) for who, reply in replies.items()}
        self.relay()

    def relay(self, only: Iterable[Party] | None = None) -> None:
        """Make the roll of the keys that clients will be shown, its puppets' among them."""
        occasion = self.talk.occasion
        keys = self.keys | {who: p.advertisement(occasion) for who, p in self.puppets.items()}
        chosen = set(keys if only is None else only)
        self.roll = self.talk.roll({who: key for who, key in keys.items() if who in chosen})
        self.gathered = Gathered(self.talk, self.roll)
        for who, puppet in self.puppets.items():
            self.gathered.known[who, MASK] = puppet.secrets.mask_seed

    def share(self, to: Iterable[Party] | None = None) -> None:
        """Relay the roll and take the boxes; those for puppets are opened."""
        keys, members = self.roll.keys, self.talk.members
        blob = write_advertisements(keys, members)
        letter = Share(to_bits(keys, members), blob)
        asked = [who for who in (self.honest if to is None else to) if who in keys]
        replies = self.talk.ask("share", dict.fromkeys(asked, letter))
        self.boxes = {who: self._cut(who, reply) for who, reply in replies.items()}
        for puppet in self.puppets.values():
            self._open(puppet)
        self.boxes |= {who: p.boxes(self.roll) for who, p in self.puppets.items() if who in keys}

    def _cut(self, who: Party, reply: bytes) -> dict[Party, bytes]:
        peers = self.roll.peers_of(who)
        return dict(zip(peers, pieces(reply, BOX_BYTES, len(peers)), strict=True))

    def _open(self, puppet: Puppet) -> None:
        mine = {who: sent[puppet.who] for who, sent in self.boxes.items() if puppet.who in sent}
        for sender, (of_mask, of_self) in puppet.opened(self.roll, mine).items():
            self.gathered.put(sender, MASK, puppet.who, of_mask)
            self.gathered.put(sender, SELF, puppet.who, of_self)

    def mask(self, sees: Sees = everything) -> None:
        """Hand boxes out and take the masked vectors."""
        asked = [who for who in self.boxes if who not in self.puppets]
        replies = self.talk.ask("mask", {who: self._boxes_for(who, sees) for who in asked})
        self.sent = {who: self.talk.read_masked(reply) for who, reply in replies.items()}

    @property
    def said(self) -> dict[Party, Masked]:
        """With whom each masked, as far as it sent a vector, or as a puppet says."""
        return self.sent | {
            who: puppet.masked(self.roll, [peer for peer in self.boxes if peer != who])
            for who, puppet in self.puppets.items()
        }

    def _boxes_for(self, who: Party, sees: Sees) -> Mask:
        near = self.roll.neighbors_of(who)
        senders = [peer for peer in near if who in self.boxes.get(peer, {}) and sees(who, peer)]
        self.shown[who] = tuple(senders)
        return Mask(to_bits(senders, near), b"".join(self.boxes[peer][who] for peer in senders))

    def masked(self, sees: Sees = everything) -> None:
        """Go from the opening to the masked vectors, honestly unless ``sees`` lies."""
        self.advertise()
        self.share()
        self.mask(sees)

    def summed(self, of: Iterable[Party]) -> Tensor | None:
        """Take a whole sum of some members: -> (d,) int64, or None where one of them is missing."""
        who = tuple(of)
        self.masked()
        if set(who) <= set(self.sent):
            self.open(who)
        return self.gathered.sum_of(who, self.sent)

    def open(self, survivors: Iterable[Party]) -> None:
        """Have one set of survivors signed and take the shares that follow."""
        counted = frozenset(survivors)
        told = {who: counted for who in self.sent if who in counted}
        self.unmask(told, self.sign(told))

    def sign(self, told: Mapping[Party, frozenset[Party]]) -> dict[Party, bytes]:
        """Tell each client its set of survivors, and take the signatures."""
        letters = {who: self._survivors_for(who, counted) for who, counted in told.items()}
        return self.talk.ask("unmask", letters)

    def _survivors_for(self, who: Party, counted: frozenset[Party]) -> Sign:
        near = [peer for peer in self.roll.neighbors_of(who) if peer in counted]
        said = self.said
        edges = b"".join(said[peer].edges + said[peer].signature for peer in near)
        return Sign(to_bits(counted, self.talk.members), edges)

    def unmask(self, told: Mapping[Party, frozenset[Party]], signed: Mapping[Party, bytes]) -> None:
        """Show each client the signatures over the set that it was told, and take its shares."""
        letters = {who: self.proof(told[who], told, signed) for who in signed}
        for who, reply in self.talk.ask("unmask", letters).items():
            self.gathered.file(who, reply, self.shown[who], set(told[who]))

    def proof(
        self,
        counted: frozenset[Party],
        told: Mapping[Party, frozenset[Party]],
        signed: Mapping[Party, bytes],
    ) -> Unmask:
        """Gather what was signed over one set; puppets sign every one."""
        order = tuple(who for who in self.talk.members if who in counted)
        alike = {who: each for who, each in signed.items() if told[who] == counted}
        text = self.roll.survivors_text(order)
        ours = {who: p.identity.sign(text) for who, p in self.puppets.items() if who in counted}
        made = alike | ours
        blob = b"".join(made[who] for who in order if who in made)
        return Unmask(to_bits(made, self.talk.members), blob)
