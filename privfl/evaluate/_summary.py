"""What the table says as a whole: computed, never typed."""

from privfl.evaluate._table import Cell, Column, Row, Table
from privfl.evaluate._verdict import Verdict
from privfl.evaluate._words import CLOSED, OPEN, cost, decibels, first_row, fraction, interval, says

UNATTACKED = "none"  # the column that holds the runs without an attack


def attacks(table: Table, kind: str | None = None) -> tuple[Column, ...]:
    """Return the columns that hold an attack, of one kind or of both."""
    columns = (column for column in table.columns if column.name != UNATTACKED)
    return tuple(column for column in columns if kind in (None, column.kind))


def contested(table: Table) -> tuple[Column, ...]:
    """Return the columns whose attack got through somewhere: the others tell no rows apart."""
    return tuple(c for c in attacks(table) if any(_is_open(table, row, c) for row in table.rows))


def closers(table: Table, column: Column) -> tuple[Row, ...]:
    """Return the rows that close a column."""
    return tuple(row for row in table.rows if _is_closed(table, row, column))


def closed_by(table: Table, row: Row) -> tuple[Column, ...]:
    """Return the contested columns that a row closes."""
    return tuple(column for column in contested(table) if _is_closed(table, row, column))


def who_wins(table: Table) -> str:
    """Say whether a row closes every contested column."""
    columns = contested(table)
    if not columns:
        return "No attack got through anywhere, so this table tells no pipelines apart."
    counts = {row.name: len(closed_by(table, row)) for row in table.rows}
    most = max(counts.values())
    best = _listed([name for name, count in counts.items() if count == most])
    through = f"{len(columns)} attacks that got through somewhere"
    several = list(counts.values()).count(most) > 1
    if most == len(columns):
        return f"{best} {'win' if several else 'wins'} every column: all {through} are closed."
    if most == 0:
        return f"No row wins every column: none closes any of the {through}."
    closes = f"close {most} each" if several else f"closes {most}"
    return f"No row wins every column: of the {through}, {best} {closes}, the most."


def who_closes(table: Table) -> tuple[tuple[str, str], ...]:
    """Say for each contested attack which rows close it at what cost: (attack, words) pairs."""
    told = tuple(
        (column.name, _listed([f"{row.name} ({cost(table, row)})" for row in rows]))
        for column in contested(table)
        if (rows := closers(table, column))
    )
    never = [column.name for column in contested(table) if not closers(table, column)]
    return (*told, (" \u00b7 ".join(never), "no row")) if never else told


def seeds_run(table: Table) -> str:
    """Say how many seeds are behind the poisoning figures."""
    asked = "" if table.seeds >= table.wanted else f" of the {table.wanted} asked for"
    few = ""
    if table.seeds < 3:
        few = " A poisoning verdict needs three: until then it is inconclusive."
    return f"Seeds run for every poisoning cell: {table.seeds}{asked}.{few}"


def static_leaks(table: Table) -> tuple[str, ...]:
    """Name the cells whose picture is worse than a blind guess and yet identifies its victims."""
    return tuple(
        f"{cell.row}, {cell.column}: {decibels(cell.psnr)} where a blind guess reaches "
        f"{decibels(cell.baseline)}, and yet {fraction(cell.value)} of the victims are identified "
        f"(null {fraction(cell.null)}): {says(cell.verdict)}."
        for cell in _cells(table)
        if _is_static(cell) and _identifies(cell) and not cell.reused_from
    )


def backfires(table: Table) -> tuple[str, ...]:
    """Name the rows that an attack harms more than it harms the first: intervals lie apart."""
    first = first_row(table).name
    return tuple(
        f"{cell.column} takes {_loss(cell)} from {cell.row} and {_loss(bare)} from {first}."
        for cell in _cells(table)
        if (bare := table.cells.get((first, cell.column))) and _is_worse(cell, bare)
    )


def _cells(table: Table) -> list[Cell]:
    pairs = ((row.name, column.name) for column in attacks(table) for row in table.rows)
    return [table.cells[pair] for pair in pairs if pair in table.cells]


def _is_static(cell: Cell) -> bool:
    return cell.psnr is not None and cell.baseline is not None and cell.psnr < cell.baseline


def _identifies(cell: Cell) -> bool:
    return cell.verdict in OPEN or (cell.interval is not None and cell.interval[0] > 0)


def _is_open(table: Table, row: Row, column: Column) -> bool:
    cell = table.cells.get((row.name, column.name))
    return cell is not None and cell.verdict in OPEN


def _is_closed(table: Table, row: Row, column: Column) -> bool:
    cell = table.cells.get((row.name, column.name))
    return cell is not None and cell.verdict in CLOSED


def _is_worse(cell: Cell, bare: Cell) -> bool:
    apart = cell.interval and bare.interval and cell.interval[0] > bare.interval[1]
    return cell.verdict is Verdict.HARMED and bool(apart)


def _loss(cell: Cell) -> str:
    return f"{fraction(cell.figure)} ({interval(cell.interval)})"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
