"""The report's answer: which pipeline closes what, at what cost."""

from privfl.evaluate._html import Markup, join, tag
from privfl.evaluate._report_badge import SIGNS, anchor, not_run, style
from privfl.evaluate._summary import attacks, closed_by, contested, who_closes
from privfl.evaluate._table import Column, Row, Table
from privfl.evaluate._words import accuracy, epsilon, first_row, fraction, says, signed

_KEY = (
    tag("b", SIGNS["through"], class_="badge through"),
    " the attack gets through \u00b7 ",
    tag("b", SIGNS["closed"], class_="badge closed"),
    " closed \u00b7 ? undecided \u00b7 n/a does not apply \u00b7 \u2013 not run. "
    "Each sign leads to its cell. ",
    tag("a", "How to read the verdicts", href="#reading"),
)


def overview(table: Table) -> Markup:
    """Show every verdict as a sign, beside what the pipeline costs."""
    columns = attacks(table, "privacy") + attacks(table, "poisoning")
    grid = tag(
        "table",
        tag("thead", *_heads(table, columns)),
        tag("tbody", *(_outline(table, row, columns) for row in table.rows)),
        class_="overview",
        style=f"--columns:{len(columns)}",
    )
    return join(grid, tag("p", *_KEY, class_="hint"))


def closings(table: Table) -> Markup:
    """List the attacks that got through somewhere: which pipeline closes each, at what cost."""
    lines = (
        tag("li", tag("b", attack), f" \u2013 closed by {rows}.")
        for attack, rows in who_closes(table)
    )
    return tag("ul", *lines, class_="closings")


def _heads(table: Table, columns: tuple[Column, ...]) -> tuple[Markup, Markup]:
    spans = [(kind, len(attacks(table, kind))) for kind in ("privacy", "poisoning")]
    groups = [tag("th", kind, colspan=n, scope="colgroup") for kind, n in spans if n]
    against = f"accuracy, against {first_row(table).name}"
    facts = (against, "privacy", f"closes, of {len(contested(table))}")
    names = [
        tag("th", tag("span", column.name), scope="col", class_=f"slim {column.kind}")
        for column in columns
    ]
    name, *rest = (tag("th", word, scope="col", rowspan=2) for word in ("pipeline", *facts))
    return tag("tr", name, *groups, *rest), tag("tr", *names)


def _outline(table: Table, row: Row, columns: tuple[Column, ...]) -> Markup:
    note = [tag("small", row.note)] if row.note else []
    return tag(
        "tr",
        tag("th", tag("b", row.name), *note, scope="row"),
        *(_sign(table, row, column) for column in columns),
        tag("td", _accuracy(table, row), data_head="accuracy"),
        tag("td", epsilon(row.epsilon), data_head="privacy"),
        tag("td", tag("b", str(len(closed_by(table, row)))), data_head="closes"),
    )


def _sign(table: Table, row: Row, column: Column) -> Markup:
    cell = table.cells.get((row.name, column.name))
    if cell is None:
        return tag("td", not_run(), class_=f"slim {column.kind} missing")
    kind, words = style(cell.verdict), f"{column.name}: {says(cell.verdict)}"
    sign = tag("span", SIGNS[kind], aria_hidden="true")
    unseen = tag("span", words, class_="unseen")
    link = tag("a", sign, unseen, href="#" + anchor(table, cell), title=words)
    return tag("td", link, class_=f"slim {column.kind} {kind}")


def _accuracy(table: Table, row: Row) -> Markup:
    value, first = accuracy(row), accuracy(first_row(table))
    text = tag("b", fraction(value))
    if row is first_row(table) or value is None or first is None:
        return text
    return join(text, " ", tag("small", signed(value - first)))
