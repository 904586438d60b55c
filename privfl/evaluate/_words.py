"""How figures and verdicts are said."""

import math

from privfl.core import require
from privfl.evaluate._table import Cell, Column, Row, SliderStop, StripRow, Table
from privfl.evaluate._verdict import HARM, LEAST_SEEDS, MARGIN, Verdict

OPEN = frozenset({Verdict.HARMED, Verdict.LEAK, Verdict.CERTIFIED_EXACT})
CLOSED = frozenset({Verdict.HELD, Verdict.NO_EVIDENCE})

_MARGIN, _HARM = f"{MARGIN:g}".removeprefix("0"), f"{HARM:g}".removeprefix("0")

_RULES = {
    Verdict.CERTIFIED_EXACT: "A leak, and the attack also proved that every image is exact.",
    Verdict.LEAK: f"The lower end of the {{figure}} is above {_MARGIN}.",
    Verdict.NO_EVIDENCE: f"The upper end of the {{figure}} is below {_MARGIN}, at no less than the "
    "budget with which the same attack leaked from the undefended twin: same model, data, batch "
    "and clients. It is no proof: a stronger attack may get through.",
    Verdict.HARMED: f"The lower end of the {{figure}} is above {_HARM}.",
    Verdict.HELD: f"The upper end of the {{figure}} is below {_HARM}, and the attack harmed some "
    "pipeline of this duel.",
    Verdict.INCONCLUSIVE: "The interval decides neither way, or there is no positive control, or "
    f"fewer than {LEAST_SEEDS} seeds ran, or what the attack sent equals the honest mean.",
    Verdict.NOT_APPLICABLE: "The attack cannot be run here; the note says why.",
}
IDENTIFIED, LOST = "share identified less its null", "accuracy lost against the twin"
STRIP_TITLE = "What the server sees of one training step, after each defence"
STRIP_CAPTION = (
    "The strips are one step of training, one image a client; accuracy and epsilon are of a whole "
    "run. Picked out of 100: the client\u2019s image is nearer to the rebuilt one than 99 others "
    "of the same label."
)
TRUTH = "what the clients hold"


def says(verdict: Verdict) -> str:
    """Say a verdict in words.

    >>> says(Verdict.NO_EVIDENCE)
    'no evidence'
    """
    return verdict.name.replace("_", " ").lower()


def rule(verdict: Verdict, figure: str) -> str:
    """Say what a verdict means, of a figure.

    >>> rule(Verdict.HARMED, LOST)
    'The lower end of the accuracy lost against the twin is above .05.'
    """
    return _RULES[verdict].format(figure=figure)


def fraction(value: float | None) -> str:
    """Write a share or an accuracy in two digits.

    >>> fraction(0.914), fraction(-0.02), fraction(1), fraction(None)
    ('.91', '\u2212.02', '1.00', '\u2013')
    """
    if value is None or not math.isfinite(value):
        return "\u2013"
    digits = f"{abs(value):.2f}".removeprefix("0")
    return f"\u2212{digits}" if value < 0 and digits != ".00" else digits


def signed(difference: float) -> str:
    """Write a difference with its sign.

    >>> signed(0.05), signed(-0.05), signed(0.001)
    ('+.05', '\u2212.05', '.00')
    """
    text = fraction(difference)
    return f"+{text}" if difference > 0 and text != ".00" else text


def interval(ends: tuple[float, float] | None) -> str:
    """Write an interval, or nothing where there is none: a single seed has infinite ends."""
    if ends is None or not all(map(math.isfinite, ends)):
        return ""
    return f"{fraction(ends[0])} to {fraction(ends[1])}"


def decibels(value: float | None) -> str:
    """Write a signal-to-noise ratio."""
    return "\u2013" if value is None or math.isnan(value) else f"{value:.1f} dB"


def epsilon(text: str) -> str:
    """Say an epsilon so that it cannot be read without its adversary.

    >>> epsilon("infinite: no noise")
    'epsilon infinite, against everybody'
    >>> epsilon("against the server: epsilon no meaningful guarantee (above 100)")
    'against the server: no meaningful guarantee (epsilon above 100)'
    """
    if text.startswith("infinite"):
        return "epsilon infinite, against everybody"
    text = text.replace("epsilon no meaningful", "no meaningful")
    text = text.replace("guarantee (above", "guarantee (epsilon above")
    return text if "epsilon" in text else f"epsilon {text}"


def picked(shown: StripRow | SliderStop) -> str:
    """Say how many of the pictures shown were identified."""
    return f"{shown.picked} of {len(shown.images)} picked out of 100"


def first_row(table: Table) -> Row:
    """Return the row with which the others are compared.

    Raises:
        ValueError: where there is none.
    """
    require(bool(table.rows), "a table needs at least one row", "none", "Name a pipeline")
    return table.rows[0]


def accuracy(row: Row) -> float | None:
    """Average the accuracy over seeds; None where none ran."""
    return sum(row.accuracy) / len(row.accuracy) if row.accuracy else None


def cost(table: Table, row: Row) -> str:
    """Say what a row costs, beside the first row."""
    first = first_row(table)
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
        return LOST
    if _counts_labels(cell):
        return "blind distance less the attack's"
    return IDENTIFIED


def _counts_labels(cell: Cell) -> bool:
    return cell.null is None and cell.psnr is None and cell.baseline is not None
