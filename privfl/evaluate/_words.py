"""How figures and verdicts are said."""

import math

from privfl.evaluate._table import Cell, Column, Row, Table
from privfl.evaluate._verdict import Verdict

OPEN = frozenset({Verdict.HARMED, Verdict.LEAK, Verdict.CERTIFIED_EXACT})
CLOSED = frozenset({Verdict.HELD, Verdict.NO_EVIDENCE})

RULES = {
    Verdict.HARMED: "The lower end of the accuracy lost against the twin is above .05.",
    Verdict.HELD: "The upper end of the accuracy lost against the twin is below .05, and this "
    "attack harmed some pipeline of this duel.",
    Verdict.CERTIFIED_EXACT: "The victim's input was recovered exactly, and the view itself "
    "shows that it was.",
    Verdict.LEAK: "The lower end of the share identified less its null is above .1. A single "
    "victim leaks where it is identified among 100 or more.",
    Verdict.NO_EVIDENCE: "The upper end of the share identified less its null is below .1, at no "
    "less than the budget with which the same attack was a leak on the undefended twin. That is "
    "no proof: a stronger attack may still get through.",
    Verdict.INCONCLUSIVE: "The figures decide neither way.",
    Verdict.NOT_APPLICABLE: "The attack cannot be run on this model or view.",
}


def says(verdict: Verdict) -> str:
    """Say a verdict in words.

    >>> says(Verdict.NO_EVIDENCE)
    'no evidence'
    """
    return verdict.name.replace("_", " ").lower()


def fraction(value: float | None) -> str:
    """Write a share or an accuracy in two digits.

    >>> fraction(0.914), fraction(-0.02), fraction(1), fraction(None)
    ('.91', '\u2212.02', '1.00', '\u2013')
    """
    if value is None or not math.isfinite(value):
        return "\u2013"
    digits = f"{abs(value):.2f}".removeprefix("0")
    return f"\u2212{digits}" if value < 0 and digits != ".00" else digits


def interval(ends: tuple[float, float] | None) -> str:
    """Write an interval, or nothing where there is none."""
    return "" if ends is None else f"{fraction(ends[0])} to {fraction(ends[1])}"


def decibels(value: float | None) -> str:
    """Write a signal-to-noise ratio."""
    return "\u2013" if value is None or math.isnan(value) else f"{value:.1f} dB"


def epsilon(text: str) -> str:
    """Say an epsilon so that it cannot be read without its adversary.

    >>> epsilon("infinite")
    'epsilon infinite, against everybody'
    """
    if text == "infinite":
        return "epsilon infinite, against everybody"
    return text if "epsilon" in text or text.startswith("no ") else f"epsilon {text}"


def accuracy(row: Row) -> float | None:
    """Average the accuracy over seeds; None where none ran."""
    return sum(row.accuracy) / len(row.accuracy) if row.accuracy else None


def cost(table: Table, row: Row) -> str:
    """Say what a row costs, beside the first row."""
    first = table.rows[0]
    if row is first:
        return f"accuracy {fraction(accuracy(row))}"
    return f"accuracy {fraction(accuracy(row))} against {fraction(accuracy(first))} {first.name}"


def compared(cell: Cell, column: Column) -> tuple[tuple[str, str], ...]:
    """Name what a figure was computed from: (word, value) pairs."""
    if column.kind == "poisoning":
        return ("accuracy", fraction(cell.value)), ("twin", fraction(cell.twin))
    if _counts_labels(cell):
        return ("distance", fraction(cell.value)), ("blind", fraction(cell.baseline))
    return ("identified", fraction(cell.value)), ("null", fraction(cell.null))


def meaning(cell: Cell, column: Column) -> str:
    """Say what the figure is."""
    if column.kind == "poisoning":
        return "accuracy lost against the twin"
    if _counts_labels(cell):
        return "blind distance less the attack's"
    return "share identified less its null"


def _counts_labels(cell: Cell) -> bool:
    return cell.null is None and cell.psnr is None and cell.baseline is not None
