"""The report: one page that needs nothing but itself."""

from importlib.resources import files

from privfl.evaluate._html import Markup, join, tag
from privfl.evaluate._report_badge import badge
from privfl.evaluate._report_cells import drill_down
from privfl.evaluate._report_overview import closings, overview
from privfl.evaluate._report_pictures import accuracies, crowd, labels, slider, strip
from privfl.evaluate._report_verdicts import verdicts
from privfl.evaluate._summary import UNATTACKED, backfires, seeds_run, static_leaks, who_wins
from privfl.evaluate._table import Table
from privfl.evaluate._verdict import Verdict
from privfl.evaluate._words import IDENTIFIED, LOST, rule

_INTRODUCTION = (
    "Federated learning, attacked with and without each defence: what a server reads from the "
    "updates that it receives, and what dishonest clients do to the model. Every figure was "
    "measured by running the attack; a verdict says what the figures allow, and no more."
)
_READING = (
    "Privacy is decided by identification: is the victim\u2019s own image the nearest to the "
    "rebuilt one among 100 of the same label? The figure is the share identified less its null, "
    "the share among images that were not in the update (chance is .01). PSNR stands beside it "
    "and decides nothing: pictures that look like noise can still identify.",
    "Poisoning is decided by the accuracy lost against the twin: the same pipeline trained by the "
    "honest clients alone, since silent attackers take their data away as well. Losses are paired "
    "over at least three seeds.",
    "Intervals are 95 %: Clopper and Pearson\u2019s for victims, Gaffke\u2019s for cohorts, "
    "combined by MOVER; Student\u2019s t for losses. Where clients are summed the cohort counts, "
    "not the image.",
    "An attack, its strength and its budget belong to the verdict. A verdict on one step says "
    "nothing of an update as trained, and the other way round.",
    "An epsilon holds against the adversary named with it, and against nobody else. Above 100 it "
    "is no meaningful guarantee.",
)
_STATIC = (
    "A picture that looks like noise is no evidence of privacy. Here the rebuilt pictures are "
    "static, further from the truth than a blind guess, and still tell whose image was in the "
    "update:"
)
_BACKFIRE = (
    "A defence can open a door. Here an attack costs more accuracy than it does without the "
    "defence, and the intervals lie apart:"
)


def report_html(table: Table) -> str:
    """Write the report of a duel as one HTML file, without scripts or outside resources."""
    pieces = (_head(table), _body(table))
    return "<!doctype html>\n" + tag("html", *pieces, lang="en")


def _head(table: Table) -> Markup:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", table.title),
        tag("style", Markup((files("privfl.evaluate") / "report.css").read_text("utf-8"))),
    )


def _body(table: Table) -> Markup:
    sections = (
        _opening(table),
        *_hero(table),
        _summary(table),
        _verdicts(table),
        *_failures(table),
        *_curves(table),
        _section("cells", "Cell by cell", drill_down(table)),
        _section("reading", "How to read the verdicts", _reading()),
    )
    return tag("body", tag("main", *sections))


def _opening(table: Table) -> Markup:
    return tag("header", tag("h1", table.title), tag("p", _INTRODUCTION), _facts(table))


def _hero(table: Table) -> list[Markup]:
    return [strip(table.pictures)] if table.pictures.strip else []


def _summary(table: Table) -> Markup:
    return _section(
        "summary",
        "Which pipeline closes what, at what cost",
        tag("p", who_wins(table), class_="lead"),
        overview(table),
        tag("h3", "Attack by attack"),
        closings(table),
    )


def _verdicts(table: Table) -> Markup:
    kinds = [
        kind for kind in ("privacy", "poisoning") if any(c.kind == kind for c in table.columns)
    ]
    return _section(
        "verdicts",
        "The verdicts",
        tag("p", seeds_run(table)),
        *(verdicts(table, kind) for kind in kinds),
    )


def _failures(table: Table) -> list[Markup]:
    groups = [(_STATIC, static_leaks(table)), (_BACKFIRE, backfires(table))]
    parts = [
        join(tag("p", text), tag("ul", *(tag("li", line) for line in lines)))
        for text, lines in groups
        if lines
    ]
    return [_section("failures", "What fails, shown failing", *parts)] if parts else []


def _curves(table: Table) -> list[Markup]:
    pictures, panels = table.pictures, []
    if chart := accuracies(table):
        notes = [tag("p", line, class_="hint") for line in _notes(table)]
        panels.append(_panel("Accuracy by round, without attack", chart, *notes))
    if pictures.crowd:
        panels.append(_panel("How big must the crowd be?", crowd(pictures)))
    sections = [tag("div", *panels, class_="panels")] if panels else []
    if pictures.labels:
        charts = tag("div", *map(labels, pictures.labels), class_="panels")
        sections.append(_section("labels", "Which labels a client holds", charts))
    if pictures.slider:
        sections.append(_section("slider", "How much noise?", slider(pictures.slider)))
    return sections


def _notes(table: Table) -> list[str]:
    cells = (table.cells.get((row.name, UNATTACKED)) for row in table.rows)
    return [f"{cell.row}: {cell.note}" for cell in cells if cell is not None and cell.note]


def _panel(title: str, *children: Markup) -> Markup:
    return tag("section", tag("h2", title), *children)


def _section(name: str, title: str, *children: Markup) -> Markup:
    return tag("section", tag("h2", title), *children, id=name)


def _reading() -> Markup:
    lost = (Verdict.HARMED, Verdict.HELD)
    rules = [
        join(tag("dt", badge(v)), tag("dd", rule(v, LOST if v in lost else IDENTIFIED)))
        for v in Verdict
    ]
    return join(tag("dl", *rules, class_="rules"), *(tag("p", text) for text in _READING))


def _facts(table: Table) -> Markup:
    pairs = (tag("div", tag("dt", key), tag("dd", value)) for key, value in table.facts.items())
    return tag("dl", *pairs, class_="facts")
