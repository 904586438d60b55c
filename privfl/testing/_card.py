"""What a check found, one line a law."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from privfl.testing._law import Given, Law, LawBroken, Subject


@dataclass(frozen=True)
class Finding:
    """Hold the outcome of one law, with the smallest witness where it failed."""

    law: str
    outcome: Literal["passed", "FAILED", "not claimed"]
    witness: str = ""

    def __str__(self) -> str:
        """Write one line, and one more for a witness."""
        return f"  {self.outcome:<12}{self.law}" + (f"\n{'':14}{self.witness}" * bool(self.witness))


@dataclass(frozen=True, repr=False)
class Card:
    """Hold what `check_aggregator` or `check_wrapper` found; a notebook shows it as text.

    >>> from privfl.parts import Mean
    >>> from privfl.testing import check_aggregator
    >>> card = check_aggregator(Mean())
    >>> card.passed, card.failures
    (True, ())
    """

    subject: str
    findings: tuple[Finding, ...]

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The laws that are broken."""
        return tuple(finding for finding in self.findings if finding.outcome == "FAILED")

    @property
    def passed(self) -> bool:
        """Whether every law that is claimed holds on every input tried."""
        return not self.failures

    def require(self) -> None:
        """Raise `LawBroken` unless all passed."""
        if not self.passed:
            raise LawBroken(str(self))

    def __str__(self) -> str:
        """Write the card."""
        return "\n".join([self.subject, *map(str, self.findings)])

    __repr__ = __str__


def examine(subject: Subject, laws: Iterable[Law[Subject, Given]], inputs: Sequence[Given]) -> Card:
    """Check every law on every input, the smallest first, up to its first failure."""
    return Card(repr(subject), tuple(_finding(subject, law, inputs) for law in laws))


def _finding(subject: Subject, law: Law[Subject, Given], inputs: Sequence[Given]) -> Finding:
    if not law.claimed(subject):
        return Finding(law.says, "not claimed")
    for given in inputs:
        try:
            law.check(subject, given)
        except LawBroken as broken:
            return Finding(law.says, "FAILED", str(broken))
        except Exception as error:  # a part that crashes keeps no promise
            return Finding(law.says, "FAILED", f"{type(error).__name__}: {error} (on {given!r})")
    return Finding(law.says, "passed")
