"""Every cell of the report told in full."""

from privfl.evaluate._html import Markup, join, tag
from privfl.evaluate._report_pictures import by_round, mean_curve
from privfl.evaluate._report_verdicts import anchor, badge
from privfl.evaluate._summary import attacks
from privfl.evaluate._svg import Line, line_chart
from privfl.evaluate._table import Cell, Column, Row, Table
from privfl.evaluate._words import RULES, compared, decibels, fraction, interval, meaning


def drill_down(table: Table) -> Markup:
    """Tell every cell, under its pipeline."""
    return join(*(_row(table, row) for row in table.rows))


def _row(table: Table, row: Row) -> Markup:
    cells = [
        _details(table, row, column, table.cells[row.name, column.name])
        for column in attacks(table)
        if (row.name, column.name) in table.cells
    ]
    written = tag("code", row.pipeline)
    return tag("section", tag("h3", row.name), written, tag("div", *cells, class_="cells"))


def _details(table: Table, row: Row, column: Column, cell: Cell) -> Markup:
    # The anchor lies inside: a browser opens what hides the place that a link leads to.
    figure = "" if cell.figure is None else fraction(cell.figure)
    summary = tag("summary", tag("span", column.name), badge(cell.verdict), tag("b", figure))
    facts = [
        join(tag("dt", term), tag("dd", text)) for term, text in _facts(row, column, cell) if text
    ]
    body = [tag("p", RULES[cell.verdict], class_="rule"), tag("dl", *facts)]
    body += _curves(cell)
    return tag("details", summary, tag("div", *body, class_="told", id=anchor(table, row, column)))


def _facts(row: Row, column: Column, cell: Cell) -> list[tuple[str, str]]:
    spread = f" (95 %: {interval(cell.interval)})" if cell.interval else ""
    return [
        (meaning(cell, column), "" if cell.figure is None else fraction(cell.figure) + spread),
        *(pair for pair in compared(cell, column) if cell.value is not None),
        ("PSNR, median", "" if cell.psnr is None else _psnr(cell)),
        ("attack", column.about),
        ("strength", cell.strength),
        ("rests on", f"{cell.n} {cell.unit}" if cell.n else ""),
        ("protocol", column.protocol),
        ("took", f"{cell.seconds:.1f} s" if cell.seconds else ""),
        ("measured on", f"{cell.reused_from}, whose view is the same" if cell.reused_from else ""),
        ("note", cell.note),
        ("pipeline", row.note),
    ]


def _psnr(cell: Cell) -> str:
    return f"{decibels(cell.psnr)}, blind guess {decibels(cell.baseline)}"


def _curves(cell: Cell) -> list[Markup]:
    """Draw the attacked run beside its twin: thin lines are seeds, thick ones their means."""
    pairs = (("attacked", cell.curves, 1), ("honest alone", cell.twin_curves, 0))
    lines = []
    for name, curves, colour in pairs:
        lines += [Line("", by_round(curve), colour=colour) for curve in curves]
        lines.append(Line(name, by_round(mean_curve(curves)), colour=colour))
    drawn = [line for line in lines if line.finite]
    if not drawn:
        return []
    ends = [line for line in drawn if line.name]
    last = "; ".join(f"{line.name} {fraction(line.finite[-1][1])}" for line in ends)
    about = f"Accuracy by round, {cell.row} under {cell.column}. At the end: {last}"
    ticks = [x for x, _ in max((line.points for line in drawn), key=len)]
    return [line_chart(drawn, about=about, x="round", y="accuracy", ticks=ticks)]
