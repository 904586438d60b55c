"""The table of verdicts in a terminal, or in a file where it is piped."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from privfl.evaluate._summary import attacks, seeds_run, who_closes, who_wins
from privfl.evaluate._table import Cell, Column, Row, Table
from privfl.evaluate._verdict import Verdict
from privfl.evaluate._words import CLOSED, OPEN, accuracy, fraction, says

_SHORT = {
    Verdict.CERTIFIED_EXACT: "exact",
    Verdict.NO_EVIDENCE: "no evid.",
    Verdict.INCONCLUSIVE: "unclear",
    Verdict.NOT_APPLICABLE: "n/a",
}
_TITLES = {
    "privacy": "share of victims identified, less its null",
    "poisoning": "accuracy lost against the honest clients alone",
}
_KEY = (
    "no evid.: no evidence; unclear: inconclusive; exact: certified exact; n/a: not applicable; "
    "\u2013: not run. Intervals, nulls and twins are in the report."
)
_NAME = 20  # letters; a longer name is wrapped
_WIDE = 100  # from here on there is room for two spaces between columns


def print_table(table: Table, console: Console) -> None:
    """Print the verdicts by kind of attack and protocol, and under them what they say as a whole.

    Columns that do not fit the width go to a further table. No letter is coloured where the
    console is no terminal.

    >>> rows = Row("undefended", "Pipeline()", (0.9,)), Row("Krum", "Pipeline(Krum())", (0.8,))
    >>> cells = {
    ...     ("undefended", "IPM"): Cell("undefended", "IPM", Verdict.HELD, figure=0.02),
    ...     ("Krum", "IPM"): Cell("Krum", "IPM", Verdict.HARMED, figure=0.66),
    ... }
    >>> table = Table("digits", rows, (Column("IPM", "poisoning", "12 rounds"),), cells, 3, 3)
    >>> print_table(table, Console(width=80))  # doctest: +ELLIPSIS
    Poisoning, 12 rounds: accuracy lost against the honest clients alone
                         IPM
    undefended           held
    accuracy .90         .02
    Krum                 harmed
    accuracy .80         .66
    ...
    """
    between = 2 if console.width >= _WIDE else 1
    for (kind, protocol), group in _groups(table).items():
        console.print(Text(f"{kind.capitalize()}, {protocol}: {_TITLES[kind]}", style="bold"))
        for columns in _fitting(table, group, console.width, between):
            console.print(_grid(table, columns, between), "")
    for line in _sentences(table):
        console.print(Text(line), soft_wrap=not console.is_terminal)


def _groups(table: Table) -> dict[tuple[str, str], list[Column]]:
    groups: dict[tuple[str, str], list[Column]] = {}
    for kind in _TITLES:
        for column in attacks(table, kind):
            groups.setdefault((kind, column.protocol), []).append(column)
    return groups


def _sentences(table: Table) -> Iterator[str]:
    yield _KEY
    yield who_wins(table)
    for attack, rows in who_closes(table):
        yield f"  {attack} \u2013 closed by {rows}"
    yield seeds_run(table)


def _fitting(
    table: Table, columns: list[Column], width: int, between: int
) -> Iterator[list[Column]]:
    """Deal columns to as few tables as the width allows, in order."""
    some: list[Column] = []
    used = _NAME
    for column in columns:
        wide = between + _width(table, column)
        if some and used + wide > width:
            yield some
            some, used = [], _NAME
        some.append(column)
        used += wide
    yield some


def _width(table: Table, column: Column) -> int:
    cells = (table.cells.get((row.name, column.name)) for row in table.rows)
    return max(map(len, [*column.name.split(), *(_word(cell) for cell in cells if cell)]))


def _grid(table: Table, columns: list[Column], between: int) -> Grid:
    grid = Grid(box=None, padding=(0, between, 0, 0), pad_edge=False)
    grid.add_column("", width=_NAME)
    for column in columns:
        grid.add_column(Text(column.name), width=_width(table, column), vertical="bottom")
    for row in table.rows:
        cells = (table.cells.get((row.name, column.name)) for column in columns)
        grid.add_row(_name(row), *(_cell(cell) for cell in cells))
    return grid


def _name(row: Row) -> Text:
    return Text.assemble(row.name, "\n", (f"accuracy {fraction(accuracy(row))}", "dim"))


def _cell(cell: Cell | None) -> Text:
    if cell is None:
        return Text("\u2013\n", style="dim")
    figure = "" if cell.figure is None else fraction(cell.figure)
    return Text.assemble((_word(cell), _style(cell.verdict)), "\n", figure)


def _word(cell: Cell) -> str:
    return _SHORT.get(cell.verdict, says(cell.verdict))


def _style(verdict: Verdict) -> str:
    if verdict in OPEN:
        return "bold red"
    return "bold green" if verdict in CLOSED else "dim"
