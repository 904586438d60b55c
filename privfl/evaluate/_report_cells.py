"""Every cell of the report told in full."""

from privfl.evaluate._html import Markup, join, tag
from privfl.evaluate._report_badge import anchor, badge, told_under
from privfl.evaluate._report_pictures import by_round, mean_curve
from privfl.evaluate._summary import attacks
from privfl.evaluate._svg_lines import Line, line_chart
from privfl.evaluate._table import Cell, Column, Row, Table
from privfl.evaluate._words import compared, decibels, fraction, interval, meaning, rule


def drill_down(table: Table) -> Markup:
    """Tell every cell, under its pipeline."""
    return join(*(_row(table, row) for row in table.rows))


def _row(table: Table, row: Row) -> Markup:
    pairs = [
        (column, table.cells[row.name, column.name])
        for column in attacks(table)
        if (row.name, column.name) in table.cells
    ]
    here = [
        _details(table, column, cell)
        for column, cell in pairs
        if told_under(table, cell) == row.name
    ]
    parts = [tag("code", row.pipeline), tag("div", *here, class_="cells")]
    if row.note:
        parts.insert(1, tag("p", row.note, class_="hint"))
    there = [(told_under(table, cell), column.name) for column, cell in pairs]
    parts += [
        tag("p", f"Same view as {source}, told there: {_names(there, source)}.", class_="hint")
        for source in dict.fromkeys(source for source, _ in there if source != row.name)
    ]
    return tag("section", tag("h3", row.name), *parts)


def _names(there: list[tuple[str, str]], row: str) -> str:
    return " \u00b7 ".join(name for source, name in there if source == row)


def _details(table: Table, column: Column, cell: Cell) -> Markup:
    figure = "" if cell.figure is None else fraction(cell.figure)
    summary = tag("summary", tag("span", column.name), badge(cell.verdict), tag("b", figure))
    facts = [join(tag("dt", term), tag("dd", text)) for term, text in _facts(column, cell) if text]
    ground = tag("p", rule(cell.verdict, meaning(cell, column)), class_="rule")
    body = (ground, tag("dl", *facts), _curves(cell))
    # The anchor lies inside: a browser opens what hides the place that a link leads to.
    return tag("details", summary, tag("div", *body, class_="told", id=anchor(table, cell)))


def _facts(column: Column, cell: Cell) -> list[tuple[str, str]]:
    ends = interval(cell.interval)
    spread = f" (95 %: {ends})" if ends else ""
    return [
        (meaning(cell, column), "" if cell.figure is None else fraction(cell.figure) + spread),
        *(pair for pair in compared(cell, column) if cell.value is not None),
        ("PSNR, median", "" if cell.psnr is None else _psnr(cell)),
        ("attack", column.about),
        ("strength", cell.strength),
        ("rests on", f"{cell.n} {cell.unit}" if cell.n else ""),
        ("protocol", column.protocol),
        ("took", f"{cell.seconds:.1f} s" if cell.seconds else ""),
        ("note", cell.note),
    ]


def _psnr(cell: Cell) -> str:
    return f"{decibels(cell.psnr)}, blind guess {decibels(cell.baseline)}"


def _curves(cell: Cell) -> Markup:
    """Draw the attacked run beside its twin: thin lines are seeds, thick ones their means."""
    lines: list[Line] = []
    for name, curves, colour in (
        ("attacked", cell.curves, 1),
        ("honest alone", cell.twin_curves, 0),
    ):
        lines += [Line("", by_round(curve), colour=colour) for curve in curves]
        lines.append(Line(name, by_round(mean_curve(curves)), colour=colour))
    about = f"Accuracy by round, {cell.row} under {cell.column}"
    return line_chart(lines, about=about, x="round", y="accuracy")
