"""What the letters of one opening tell in public: of a sum, or of a draw and its groups."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from privfl.core import At, Cohort, Party, ProtocolAbort, State, decode, encode
from privfl.crypto import Stream
from privfl.parts import Grouped, SumProtocol
from privfl.parts._draw import Draw, bytes_of, fields_of
from privfl.rounds import Line, Opening, Setting
from privfl.views._letter_facts import Facts, LetterFacts, sha256
from privfl.views._masked_sum import MaskedSum, Masks


@dataclass
class PassFacts:
    """Read the letters of one opening: of one sum, or of a draw and a sum in each group."""

    line: Line
    opening: Opening
    sums: dict[bytes, LetterFacts] = field(default_factory=dict)
    of_client: dict[Party, LetterFacts] = field(default_factory=dict)
    drawing: dict[Party, str] = field(default_factory=dict)

    @cached_property
    def setting(self) -> Setting:
        """What both sides derive from the opening, or an abort where it fits no pipeline."""
        try:
            return Setting(self.line, self.opening)
        except ValueError as error:
            raise ProtocolAbort(f"No round of this pipeline: {error}") from error

    @cached_property
    def at(self) -> At:
        """Where the protocol stands."""
        return self.setting.at(self.line.protocol_at, Stream())

    @cached_property
    def group_size(self) -> int | None:
        """How many members a group has at least; None where there are no groups."""
        protocol = self.line.protocol
        return protocol.size if isinstance(protocol, Grouped) else None

    def numbers(self, at: At) -> MaskedSum:
        """Derive the numbers of a sum, or abort where no sum of so few is safe."""
        bits = self.setting.plans[self.line.protocol_at + 1].ring_bits
        try:
            return MaskedSum.of(require_masks(self.line.protocol), at, bits or 0)
        except ValueError as error:
            raise ProtocolAbort(f"No safe sum: {error}") from error

    @property
    def facts(self) -> Facts:
        """What the opening line says: the numbers of the sum, or the size of the groups."""
        if self.group_size is None:
            return self._begun(self.at).numbers.fields()
        return {
            "session": self.at.session.hex(),
            "model": self.at.model.hex(),
            "members": list(self.at.cohort.members),
            "group_size": self.group_size,
        }

    def _begun(self, at: At) -> LetterFacts:
        facts = self.sums[at.session] = LetterFacts(self.numbers(at))
        self.of_client |= dict.fromkeys(at.cohort.members, facts)
        return facts

    def asks(self, who: Party, letter: bytes) -> Iterator[Facts]:
        """Say what a letter to ``who`` tells, behind a line for the group that it begins."""
        alone: Mapping[Party, State] = {"inner": letter}
        what = alone if self.group_size is None else fields_of(decode(letter))
        if "do" in what:
            yield self._asks_in_draw(who, what)
            return
        relayed: Facts = {}
        if "coins" in what:
            coins = fields_of(what["coins"])
            relayed = {"coins": in_order(coins, self.at.cohort)}
            yield from self._grouped(who, coins)
        facts = self._of(who).asks(who, bytes_of(what.get("inner")))
        self.drawing.pop(who, None)
        yield self._in_sum({**facts, **relayed}, who)

    def answers(self, who: Party, reply: bytes) -> Facts:
        """Say what a reply of ``who`` tells."""
        if who in self.drawing:
            key = self.drawing[who]
            return self._in_draw({"what": key, key: bytes_of(decode(reply)).hex()})
        return self._in_sum(self._of(who).answers(who, reply), who)

    def _of(self, who: Party) -> LetterFacts:
        if who not in self.of_client:
            raise ProtocolAbort("A letter of somebody who is in no sum")
        return self.of_client[who]

    def _asks_in_draw(self, who: Party, what: Mapping[Party, State]) -> Facts:
        match what["do"]:
            case "commit":
                self.drawing[who] = "commitment"
                return self._in_draw({"what": "commit"})
            case "reveal":
                self.drawing[who] = "coin"
                relayed = in_order(fields_of(what.get("commitments")), self.at.cohort)
                return self._in_draw({"what": "reveal", "relayed": relayed})
        raise ProtocolAbort("A letter of no step of a draw")

    def _grouped(self, who: Party, coins: Mapping[Party, State]) -> Iterator[Facts]:
        """Begin the group of ``who``, by the coins that it was shown."""
        if who not in coins or who not in self.at.cohort.members:
            raise ProtocolAbort("A client without a coin")
        draw = Draw.of(coins, self.group_size or 0, self.at)
        k = draw.group_of(who)
        at = draw.within(k, None)
        if at.session not in self.sums:
            fields = self._begun(at).numbers.fields()
            yield {"kind": "group", "group": k, "of": self.at.session.hex(), **fields}
        self.of_client[who] = self.sums[at.session]

    def _in_sum(self, facts: Facts, who: Party) -> Facts:
        return {**facts, "session": self.of_client[who].numbers.session.hex()}

    def _in_draw(self, facts: Facts) -> Facts:
        return {**facts, "session": self.at.session.hex()}


def require_masks(protocol: SumProtocol) -> Masks:
    """Return what masks, by itself or in groups, or raise a ValueError."""
    inner = protocol.inner if isinstance(protocol, Grouped) else protocol
    if not isinstance(inner, Masks):
        raise ValueError(f"A log is of a round that masks. Found {inner!r}. Use SecAgg().")
    return inner


def in_order(said: Mapping[Party, State], cohort: Cohort) -> str:
    """Hash what each of some members said, in the order of the cohort."""
    return sha256(encode(tuple((who, said[who]) for who in cohort.members if who in said)))
