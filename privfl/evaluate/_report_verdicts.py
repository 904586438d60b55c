"""The tables of the report: what each pipeline closes, and every verdict."""

from privfl.evaluate._html import Markup, join, tag
from privfl.evaluate._summary import attacks, closed_by, contested, who_closes
from privfl.evaluate._table import Cell, Column, Row, Table
from privfl.evaluate._verdict import Verdict
from privfl.evaluate._words import (
    CLOSED,
    OPEN,
    accuracy,
    compared,
    epsilon,
    fraction,
    interval,
    says,
)

_TITLES = {
    "privacy": "Privacy: what the server makes of an update",
    "poisoning": "Poisoning: what dishonest clients make of the model",
}

_KEY = (
    tag("b", "\u2715", class_="badge through"),
    " the attack gets through \u00b7 ",
    tag("b", "\u2713", class_="badge closed"),
    " closed \u00b7 ? undecided \u00b7 n/a does not apply \u00b7 \u2013 not run. "
    "Each sign leads to its cell.",
)


def overview(table: Table) -> Markup:
    """Show every verdict as a sign, beside what the pipeline costs."""
    kinds = [(kind, attacks(table, kind)) for kind in _TITLES]
    columns = tuple(column for _, some in kinds for column in some)
    groups = (tag("th", kind, colspan=len(some), scope="colgroup") for kind, some in kinds if some)
    names = (
        tag("th", tag("span", column.name), scope="col", class_=f"slim {column.kind}")
        for column in columns
    )
    n = len(contested(table))
    against = f"accuracy, against {table.rows[0].name}"
    facts = (against, "privacy guarantee", f"closes, of {n}")
    rest = [tag("th", fact, scope="col", rowspan=2) for fact in facts]
    head = (
        tag("tr", tag("th", "pipeline", scope="col", rowspan=2), *groups, *rest),
        tag("tr", *names),
    )
    body = (_outline(table, row, columns) for row in table.rows)
    return join(
        tag("table", tag("thead", *head), tag("tbody", *body), class_="overview"),
        tag("p", *_KEY, class_="hint"),
    )


def closings(table: Table) -> Markup:
    """List the attacks that got through somewhere: which pipeline closes each, at what cost."""
    lines = (
        tag("li", tag("b", attack), f" \u2013 closed by {rows}.")
        for attack, rows in who_closes(table)
    )
    return tag("ul", *lines, class_="closings")


def verdicts(table: Table, kind: str) -> Markup:
    """Show the verdicts of one kind of attack, one row a pipeline."""
    columns = attacks(table, kind)
    head = [tag("th", "pipeline", scope="col"), *(_head(column) for column in columns)]
    body = [
        tag(
            "tr",
            tag("th", row.name, scope="row"),
            *(_cell(table, row, column) for column in columns),
        )
        for row in table.rows
    ]
    return join(
        tag("h3", _TITLES[kind]),
        tag(
            "div",
            tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body), class_="verdicts"),
            class_="scroll",
        ),
    )


def anchor(table: Table, row: Row, column: Column) -> str:
    """Name the place in the page where a cell is told in full."""
    return f"cell-{table.rows.index(row)}-{table.columns.index(column)}"


def badge(verdict: Verdict) -> Markup:
    """Show a verdict by sign, word and colour."""
    kind = style(verdict)
    sign = tag("span", _SIGNS[kind], class_="sign", aria_hidden="true")
    return tag("span", *([] if kind == "none" else [sign]), says(verdict), class_=f"badge {kind}")


def style(verdict: Verdict) -> str:
    """Name the style of a verdict."""
    if verdict in OPEN:
        return "through"
    if verdict in CLOSED:
        return "closed"
    return "none" if verdict is Verdict.NOT_APPLICABLE else "undecided"


_SIGNS = {"through": "\u2715", "closed": "\u2713", "undecided": "?", "none": "n/a"}


def _outline(table: Table, row: Row, columns: tuple[Column, ...]) -> Markup:
    name = [tag("b", row.name)]
    if row.note:
        name.append(tag("small", row.note))
    return tag(
        "tr",
        tag("th", *name, scope="row"),
        *(_sign(table, row, column) for column in columns),
        tag("td", _accuracy(table, row), data_head="accuracy"),
        tag("td", epsilon(row.epsilon), data_head="privacy guarantee"),
        tag("td", tag("b", str(len(closed_by(table, row)))), data_head="closes"),
    )


def _sign(table: Table, row: Row, column: Column) -> Markup:
    cell = table.cells.get((row.name, column.name))
    if cell is None:
        return tag("td", _not_run(), class_=f"slim {column.kind} missing")
    kind, words = style(cell.verdict), f"{column.name}: {says(cell.verdict)}"
    link = tag(
        "a",
        tag("span", _SIGNS[kind], aria_hidden="true"),
        tag("span", words, class_="unseen"),
        href="#" + anchor(table, row, column),
        title=words,
    )
    return tag("td", link, class_=f"slim {column.kind} {kind}")


def _accuracy(table: Table, row: Row) -> Markup:
    value, first = accuracy(row), accuracy(table.rows[0])
    text = tag("b", fraction(value))
    if row is table.rows[0] or value is None or first is None:
        return text
    return join(text, " ", tag("small", _signed(value - first)))


def _signed(difference: float) -> str:
    text = fraction(difference)
    return text if text.startswith("\u2212") or text == ".00" else f"+{text}"


def _head(column: Column) -> Markup:
    return tag("th", column.name, tag("small", column.protocol), scope="col", title=column.about)


def _cell(table: Table, row: Row, column: Column) -> Markup:
    cell = table.cells.get((row.name, column.name))
    if cell is None:
        return tag("td", _not_run(), class_="missing", data_head=column.name)
    inside = tag("a", *_inside(cell, column), href="#" + anchor(table, row, column))
    return tag("td", inside, class_=style(cell.verdict), data_head=column.name)


def _not_run() -> Markup:
    return tag("span", "\u2013", tag("span", " not run", class_="unseen"), title="not run")


def _inside(cell: Cell, column: Column) -> list[Markup]:
    parts = [badge(cell.verdict)]
    if cell.figure is not None:
        parts.append(tag("b", fraction(cell.figure)))
        parts.append(tag("small", interval(cell.interval)))
    if cell.reused_from:
        return [*parts, tag("small", f"same view as {cell.reused_from}")]
    if cell.value is not None:
        parts += [tag("small", f"{word} {value}") for word, value in compared(cell, column)]
    return parts
