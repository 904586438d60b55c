"""What the log of a masked round shows to whoever checks it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from privfl.core import Party


class Rule(StrEnum):
    """Name what a line of a log can violate.

    >>> print(Rule.TWO_LISTS)
    a client signs one list of survivors
    """

    CHAIN = "each line follows the one before, unchanged"
    END = "a log has an opening and an end, and all between"
    FORM = "a line says what its kind says"
    NUMBERS = "two lists of survivors never both have a quorum"
    DRAW = "groups are those that the coins of all members draw"
    KEYS = "keys are signed by whose they are, for this sum"
    RELAYED = "the server relays what clients said, and nothing else"
    EDGES = "two clients agree whether they masked with each other"
    SIGNATURE = "what a client says is signed by it"
    TWO_LISTS = "a client signs one list of survivors"
    QUORUM = "shares are shown after a quorum signed the same list"
    FEWEST = "a sum that is opened has the fewest survivors or more"
    ANSWERED_TWICE = "a client shows shares once a sum"
    BOTH_KINDS = "of nobody are shares of both secrets shown"
    SHARES = "the shares shown are those that the signed list calls for"


@dataclass(frozen=True)
class Violation:
    """Say which line violates which rule, and how."""

    line: int
    rule: Rule
    found: str

    def __str__(self) -> str:
        """Write one line."""
        return f"line {self.line}: {self.rule}: {self.found}"


@dataclass(frozen=True)
class SumFindings:
    """Say who saw which set in one sum.

    Attributes:
        session: of the sum, in hex.
        members: of the cohort, or of the group.
        corrupt: how many of them were declared to work with the server.
        signed: each list of survivors that somebody signed, with its signers.
        unmasked: the lists for which somebody showed shares.
    """

    session: str
    members: tuple[Party, ...]
    corrupt: int
    signed: Mapping[tuple[Party, ...], tuple[Party, ...]] = field(default_factory=dict)
    unmasked: tuple[tuple[Party, ...], ...] = ()

    @property
    def anonymity(self) -> int | None:
        """How many honest updates hide each other at least; None where nothing was unmasked."""
        return min((len(who) - self.corrupt for who in self.unmasked), default=None)


@dataclass(frozen=True)
class Findings:
    """Hold what `verify_log` found.

    Attributes:
        violations: every broken rule, in the order of the lines.
        sums: what was found of each sum.
        lines: how many there are.
        head: the hash of the last line: keep it, and pass it as ``head=`` when the log comes back.
        head_known: whether a head that was kept elsewhere was compared; otherwise nobody can tell
            whether lines at the end are lost and an end was written anew.
        keys_known: whether the keys came from a registry. Otherwise they are those that the log
            itself claims, and whoever wrote it may have signed everything.
    """

    violations: tuple[Violation, ...]
    sums: tuple[SumFindings, ...]
    lines: int
    head: str
    head_known: bool
    keys_known: bool

    @property
    def sound(self) -> bool:
        """Whether no rule is broken."""
        return not self.violations

    @property
    def anonymity(self) -> int | None:
        """The smallest anonymity set of all sums; None where nothing was unmasked."""
        return min((s.anonymity for s in self.sums if s.anonymity is not None), default=None)

    def __str__(self) -> str:
        """Say what was found, a line each, and first what was not looked at."""
        lines = [] if self.keys_known else [_CLAIMED]
        lines += [f"{self.lines} lines, {len(self.violations)} violations, head {self.head}"]
        lines += [] if self.head_known else [_NO_HEAD]
        lines += [str(violation) for violation in self.violations]
        for found in self.sums:
            lines.append(f"sum {found.session[:16]} of {len(found.members)} clients")
            lines += [
                f"  {len(signers)} signed that {len(survivors)} are counted: {_listed(survivors)}"
                for survivors, signers in found.signed.items()
            ]
            hidden = "nothing was unmasked"
            if found.anonymity is not None:
                hidden = f"smallest anonymity set {found.anonymity}"
            lines.append(f"  {hidden} ({found.corrupt} declared corrupt)")
        return "\n".join(lines)


_CLAIMED = (
    "WARNING: checked against the keys that the log itself claims. Whoever wrote it may have made "
    "them: pass the registry that you know."
)
_NO_HEAD = "No head was given: whether lines at the end are lost, nobody can tell."


def _listed(who: tuple[Party, ...], most: int = 20) -> str:
    shown = ", ".join(map(str, who[:most]))
    return shown + (f" and {len(who) - most} more" if len(who) > most else "")
