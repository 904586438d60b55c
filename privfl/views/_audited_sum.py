"""One masked sum, checked by the public record of its letters."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from privfl.core import Advertisement, Party, Registry
from privfl.core._roll import Roll
from privfl.core._subset import to_bits
from privfl.views._findings import Rule, SumFindings
from privfl.views._letter_facts import sha256
from privfl.views._masked_sum import MaskedSum, bytes_in, names_in

Fields = Mapping[str, object]
Broken = Iterator[tuple[Rule, str]]
Survivors = tuple[Party, ...]


@dataclass
class _Client:
    """Hold what one client was told and what it said."""

    advertised: Advertisement | None = None
    roll: Roll | None = None
    senders: tuple[Party, ...] = ()
    edges: tuple[Party, ...] = ()
    masked: bytes = b""  # edges and signature, as the server relays them
    shown: Survivors = ()
    signature: bytes = b""
    signed: list[Survivors] = field(default_factory=list)
    quorum: int = 0  # valid signatures over the list that it signed last
    answers: int = 0
    self_masks: set[Party] = field(default_factory=set)
    mask_keys: set[Party] = field(default_factory=set)


class AuditedSum:
    """Take the lines of one sum in order, and yield what each violates."""

    def __init__(self, numbers: MaskedSum, registry: Registry) -> None:
        self.numbers, self.registry = numbers, registry
        self.clients: dict[Party, _Client] = defaultdict(_Client)
        self.agreed: dict[tuple[bytes, Survivors], dict[Party, bytes]] = defaultdict(dict)
        self.unmasked: list[Survivors] = []
        self.rolls: dict[bytes, Roll] = {}

    def begins(self) -> Broken:
        """Check the numbers: an honest client signs one list, a corrupt one as many as it likes."""
        n, corrupt = len(self.numbers.members), self.numbers.corrupt
        if 2 * self.numbers.quorum - n <= corrupt:
            found = f"a quorum of {self.numbers.quorum} of {n}, {corrupt} of them corrupt"
            yield Rule.NUMBERS, found

    def takes(self, what: str, fields: Fields) -> Broken:
        """Check a letter.

        Raises:
            ValueError: for a line that does not say what its kind says.
        """
        who = fields["receiver"] if fields["sender"] == "server" else fields["sender"]
        if who not in self.numbers.members:
            raise ValueError(f"{who!r} is no member of this sum")
        check = self._checks().get(what)
        if check is None:
            raise ValueError(f"{what!r} is no letter of a masked sum")
        return check(who, self.clients[who], fields)

    def _checks(self) -> Mapping[str, Callable[[Party, _Client, Fields], Broken]]:
        return {
            "advertise": self._nothing,
            "advertisement": self._advertisement,
            "share": self._share,
            "boxes": self._nothing,
            "mask": self._mask,
            "masked": self._masked,
            "sign": self._sign,
            "signature": self._signature,
            "unmask": self._unmask,
            "shares": self._shares,
        }

    def _nothing(self, who: Party, client: _Client, fields: Fields) -> Broken:
        del who, client, fields
        yield from ()

    def _advertisement(self, who: Party, client: _Client, fields: Fields) -> Broken:
        names = ("mask_key", "box_key", "commitment", "signature")
        client.advertised = Advertisement(*(bytes_in(fields, name) for name in names))
        text = client.advertised.signed_text(who, self.numbers.occasion)
        yield from self._unsigned(Rule.KEYS, who, text, client.advertised.signature)

    def _share(self, who: Party, client: _Client, fields: Fields) -> Broken:
        present = names_in(fields, "present")
        silent = [peer for peer in present if self.clients[peer].advertised is None]
        if silent:
            yield Rule.RELAYED, f"client {who} is shown keys of {silent}, who sent none"
        keys = {
            peer: made for peer in present if (made := self.clients[peer].advertised) is not None
        }
        relayed = b"".join(made.to_bytes() for made in keys.values())
        yield from _compared(fields, relayed, f"client {who} is shown keys that nobody sent")
        if relayed not in self.rolls:  # most clients are shown the same
            self.rolls[relayed] = self.numbers.roll(keys)
        client.roll = self.rolls[relayed]

    def _mask(self, who: Party, client: _Client, fields: Fields) -> Broken:
        client.senders = names_in(fields, "senders")
        strangers = set(client.senders) - set(_roll(client).neighbors_of(who))
        if strangers:
            yield Rule.RELAYED, f"client {who} gets boxes of {sorted(strangers, key=str)}"

    def _masked(self, who: Party, client: _Client, fields: Fields) -> Broken:
        client.edges, roll = names_in(fields, "masked_with"), _roll(client)
        bits, signature = (
            to_bits(client.edges, roll.neighbors_of(who)),
            bytes_in(fields, "signature"),
        )
        client.masked = bits + signature
        if client.edges != client.senders:
            yield Rule.EDGES, f"client {who} masked with others than sent it boxes"
        text = roll.edges_text(who, bits)
        yield from self._unsigned(Rule.SIGNATURE, who, text, signature)

    def _sign(self, who: Party, client: _Client, fields: Fields) -> Broken:
        client.shown = names_in(fields, "survivors")
        near = [peer for peer in _roll(client).neighbors_of(who) if peer in set(client.shown)]
        relayed = b"".join(self.clients[peer].masked for peer in near)
        found = f"client {who} is shown with whom others masked, as they did not say it"
        yield from _compared(fields, relayed, found)

    def _signature(self, who: Party, client: _Client, fields: Fields) -> Broken:
        client.signature, roll = bytes_in(fields, "signature"), _roll(client)
        text = roll.survivors_text(client.shown)
        broken = [*self._unsigned(Rule.SIGNATURE, who, text, client.signature)]
        yield from broken
        if broken:
            return
        for peer in roll.neighbors_of(who):
            with_me = who in self.clients[peer].edges
            if peer in client.shown and with_me != (peer in client.edges):
                yield Rule.EDGES, f"client {who} signed, and {peer} masked by other neighbours"
        if any(before != client.shown for before in client.signed):
            sizes = [len(survivors) for survivors in (*client.signed, client.shown)]
            yield Rule.TWO_LISTS, f"client {who} signed lists of {sizes} survivors"
        client.signed.append(client.shown)
        self.agreed[roll.root, client.shown][who] = client.signature

    def _unmask(self, who: Party, client: _Client, fields: Fields) -> Broken:
        signers, client.quorum = names_in(fields, "signers"), 0
        survivors = client.signed[-1] if client.signed else ()
        agreed = self.agreed[_roll(client).root, survivors]
        relayed = b"".join(agreed.get(peer, self.clients[peer].signature) for peer in signers)
        found = f"client {who} is shown signatures that nobody made over its list"
        broken = [*_compared(fields, relayed, found)]
        yield from broken
        if not broken:
            client.quorum = len(set(agreed) & set(signers) & set(survivors))

    def _shares(self, who: Party, client: _Client, fields: Fields) -> Broken:
        self_masks, mask_keys = (set(names_in(fields, k)) for k in ("self_masks", "mask_keys"))
        client.answers += 1
        if client.answers > 1:
            yield Rule.ANSWERED_TWICE, f"client {who} showed shares {client.answers} times"
        client.self_masks |= self_masks
        client.mask_keys |= mask_keys
        for peer in sorted(client.self_masks & client.mask_keys, key=str):
            yield Rule.BOTH_KINDS, f"client {who} showed both of client {peer}"
        yield from self._unmasked(who, client, self_masks, mask_keys)

    def _unmasked(
        self, who: Party, client: _Client, self_masks: set[Party], mask_keys: set[Party]
    ) -> Broken:
        if not client.signed:
            yield Rule.QUORUM, f"client {who} showed shares, and signed no list"
            return
        survivors, numbers = client.signed[-1], self.numbers
        self.unmasked.append(survivors)
        if client.quorum < numbers.quorum:
            found = f"client {who} showed shares after {client.quorum} valid signatures over its"
            yield Rule.QUORUM, f"{found} list, {numbers.quorum} are needed"
        if len(survivors) < numbers.fewest:
            found = f"a sum of {len(survivors)} was unmasked by client {who}"
            yield Rule.FEWEST, f"{found}, {numbers.fewest} are needed"
        about = {who, *client.senders}
        if not (self_masks <= about & set(survivors) and mask_keys <= about - set(survivors)):
            yield Rule.SHARES, f"client {who} showed shares that its list does not call for"

    def _unsigned(self, rule: Rule, who: Party, text: bytes, signature: bytes) -> Broken:
        if who not in self.registry:
            yield rule, f"client {who} is not in the registry"
        elif not self.registry.has_signed(who, text, signature):
            yield rule, f"client {who} did not sign this"

    @property
    def findings(self) -> SumFindings:
        """Say who saw which set."""
        signed: dict[Survivors, tuple[Party, ...]] = {}
        for who in self.numbers.members:
            for survivors in self.clients[who].signed:
                signed[survivors] = (*signed.get(survivors, ()), who)
        return SumFindings(
            self.numbers.session.hex(),
            self.numbers.members,
            self.numbers.corrupt,
            signed,
            tuple(dict.fromkeys(self.unmasked)),
        )


def _compared(fields: Fields, said: bytes, found: str) -> Broken:
    """Compare what was relayed, of which a line holds the hash, with what was said."""
    if fields.get("relayed") != sha256(said):
        yield Rule.RELAYED, found


def _roll(client: _Client) -> Roll:
    if client.roll is None:
        raise ValueError("it comes before the keys of this sum")
    return client.roll
