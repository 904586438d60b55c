"""How the report marks a verdict, and where it tells the cell in full."""

from privfl.evaluate._html import Markup, tag
from privfl.evaluate._table import Cell, Table
from privfl.evaluate._verdict import Verdict
from privfl.evaluate._words import CLOSED, OPEN, says

SIGNS = {"through": "\u2715", "closed": "\u2713", "undecided": "?", "none": "n/a"}


def style(verdict: Verdict) -> str:
    """Name the style of a verdict in the style sheet."""
    if verdict in OPEN:
        return "through"
    if verdict in CLOSED:
        return "closed"
    return "none" if verdict is Verdict.NOT_APPLICABLE else "undecided"


def badge(verdict: Verdict) -> Markup:
    """Show a verdict by sign, word and colour."""
    kind = style(verdict)
    sign = tag("span", SIGNS[kind], class_="sign", aria_hidden="true")
    return tag("span", *([] if kind == "none" else [sign]), says(verdict), class_=f"badge {kind}")


def not_run() -> Markup:
    """Mark the place of a cell that is missing."""
    return tag("span", "\u2013", tag("span", " not run", class_="unseen"), title="not run")


def told_under(table: Table, cell: Cell) -> str:
    """Name the row under which a cell is told: a reused one where it was run."""
    return cell.reused_from if (cell.reused_from, cell.column) in table.cells else cell.row


def anchor(table: Table, cell: Cell) -> str:
    """Name the place in the page where a cell is told."""
    row = [row.name for row in table.rows].index(told_under(table, cell))
    column = [column.name for column in table.columns].index(cell.column)
    return f"cell-{row}-{column}"
