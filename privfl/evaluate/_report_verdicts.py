"""Every verdict of the report with its figure."""

from privfl.evaluate._html import Markup, join, tag
from privfl.evaluate._report_badge import anchor, badge, not_run, style
from privfl.evaluate._summary import attacks
from privfl.evaluate._table import Cell, Column, Row, Table
from privfl.evaluate._words import compared, fraction, interval

_TITLES = {
    "privacy": "Privacy: what the server makes of an update",
    "poisoning": "Poisoning: what dishonest clients make of the model",
}


def verdicts(table: Table, kind: str) -> Markup:
    """Show the verdicts of one kind of attack, one row a pipeline."""
    columns = attacks(table, kind)
    head = tag("tr", tag("th", "pipeline", scope="col"), *map(_head, columns))
    body = (_row(table, row, columns) for row in table.rows)
    grid = tag("table", tag("thead", head), tag("tbody", *body), class_="verdicts")
    return join(tag("h3", _TITLES[kind]), tag("div", grid, class_="scroll"))


def _head(column: Column) -> Markup:
    return tag("th", column.name, tag("small", column.protocol), scope="col", title=column.about)


def _row(table: Table, row: Row, columns: tuple[Column, ...]) -> Markup:
    cells = (_cell(table, row, column) for column in columns)
    return tag("tr", tag("th", row.name, scope="row"), *cells)


def _cell(table: Table, row: Row, column: Column) -> Markup:
    cell = table.cells.get((row.name, column.name))
    if cell is None:
        return tag("td", not_run(), class_="missing", data_head=column.name)
    inside = tag("a", *_inside(cell, column), href="#" + anchor(table, cell))
    return tag("td", inside, class_=style(cell.verdict), data_head=column.name)


def _inside(cell: Cell, column: Column) -> list[Markup]:
    parts = [badge(cell.verdict)]
    if cell.figure is not None:
        spread = "" if cell.reused_from else interval(cell.interval)
        figure = tag("b", fraction(cell.figure)), " ", tag("small", spread)
        parts.append(tag("span", *figure, class_="figure"))
    if cell.reused_from:
        parts.append(tag("small", f"same view as {cell.reused_from}"))
    elif cell.value is not None:
        pairs = (tag("span", f"{word} {value}") for word, value in compared(cell, column))
        parts.append(tag("small", join(*pairs, between=" ")))
    return parts
