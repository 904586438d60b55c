"""The page: well formed, needs nothing but itself, and says all that the table holds."""

import re
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest

from evaluate.made_up import CELLS, COLUMNS, MEANINGLESS, ROWS, made_up_table, pictures
from evaluate.read_html import read_html
from evaluate.read_png import read_png
from privfl.evaluate._html import Markup, join, tag
from privfl.evaluate._png import grey
from privfl.evaluate._report import report_html
from privfl.evaluate._table import Cell, Column, Pictures, Row
from privfl.evaluate._verdict import Verdict
from privfl.evaluate._words import says

NASTY = "<script>alert('x')</script> & \"quoted\" </style>"


def page_of(table):
    return read_html(report_html(table))


@pytest.fixture(scope="module")
def page():
    return page_of(made_up_table())


def section(page, name):
    (found,) = page.find(id=name)
    return found


def verdict_of(page, row, column):
    """What the table of verdicts shows of a cell."""
    (text,) = (
        cell.text
        for line in section(page, "verdicts").find("tr")
        if line.find("th")[0].text == row
        for cell in line.find("td")
        if cell.attributes["data-head"] == column
    )
    return text


TABLES = {
    "as made up": made_up_table(),
    "no pictures": made_up_table(pictures=Pictures()),
    "no truth": made_up_table(pictures=replace(pictures(), truth=None)),
    "one row": made_up_table(rows=ROWS[:1]),
    "no cells": made_up_table(cells={}),
    "no columns": made_up_table(columns=()),
    "privacy alone": made_up_table(columns=COLUMNS[3:]),
    "no accuracy": made_up_table(rows=(Row("undefended", "Pipeline()"),)),
    "no figure": made_up_table(Cell("noise", "linear", Verdict.INCONCLUSIVE)),
    "no number": made_up_table(
        Cell("noise", "IPM", Verdict.HARMED, float("nan"), (float("nan"), float("inf")))
    ),
    "one seed": made_up_table(
        Cell("noise", "IPM", Verdict.INCONCLUSIVE, 0.1, (float("-inf"), float("inf")), 0.8)
    ),
    "diverged at once": made_up_table(
        Cell("noise", "none", Verdict.NOT_APPLICABLE, curves=((float("nan"),), ()))
    ),
    "long names": made_up_table(rows=(Row("a name " * 40, "Pipeline() " * 80, note="x" * 300),)),
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_it_is_well_formed_whatever_is_missing(table):
    page = page_of(table)
    (html,) = page.find("html")
    assert [child.tag for child in html.children] == ["head", "body"]
    places = [e.attributes["id"] for e in page if "id" in e.attributes]
    assert len(places) == len(set(places))


def test_it_needs_nothing_but_itself(page):
    links = [e.attributes.get(key) for e in page for key in ("src", "href", "xlink:href")]
    assert [x for x in links if x and not x.startswith(("data:image/png;base64,", "#"))] == []
    assert page.find("script") == page.find("link") == page.find("iframe") == []
    assert not [key for e in page for key in e.attributes if key.startswith("on")]
    (style,) = page.find("style")
    assert not re.search(r"url\(|@import|http", style.text)


def test_text_is_text_wherever_it_comes_from():
    given = {"row": NASTY, "column": NASTY, "strength": NASTY, "note": NASTY, "unit": NASTY}
    cell = Cell(verdict=Verdict.LEAK, figure=0.5, psnr=1.0, curves=((0.1, 0.2),), n=1, **given)
    none = Cell(NASTY, "none", Verdict.NOT_APPLICABLE, curves=((0.1, 0.2),), note=NASTY)
    shown = pictures()
    table = made_up_table(
        title=NASTY,
        rows=(Row(NASTY, NASTY, (0.5,), NASTY, NASTY),),
        columns=(COLUMNS[0], Column(NASTY, "privacy", NASTY, NASTY)),
        cells={(NASTY, NASTY): cell, (NASTY, "none"): none},
        facts={NASTY: NASTY},
        pictures=replace(
            shown,
            strip=tuple(replace(row, name=NASTY, epsilon=NASTY) for row in shown.strip),
            labels=tuple(replace(bars, title=NASTY) for bars in shown.labels),
        ),
    )
    page = page_of(table)
    assert page.find("script") == []
    assert len(page.find("style")) == 1
    assert page.text.count(NASTY) >= 20
    assert page.find("title")[0].text == NASTY


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.row}, {cell.column}")
def test_every_attack_that_was_run_leads_to_where_it_is_told(page, cell):
    if cell.column == "none":
        return
    row = [row.name for row in ROWS].index(cell.reused_from or cell.row)
    column = [column.name for column in COLUMNS].index(cell.column)
    place = f"cell-{row}-{column}"
    links = page.find("a", href=f"#{place}")
    assert len(links) >= 2  # from the overview and from the verdicts
    (details,) = (d for d in page.find("details") if d.find(id=place))
    assert details.find("summary")[0].find(id=place) == []  # so that the link opens it


def test_every_link_leads_somewhere(page):
    places = {e.attributes.get("id") for e in page}
    links = [e.attributes["href"] for e in page.find("a")]
    assert [x for x in links if x.removeprefix("#") not in places] == []


@pytest.mark.parametrize(
    ("row", "column", "text"),
    [
        ("undefended", "one image", "\u2715leak.97 .70 to .98identified .98 null .01"),
        ("undefended", "sign flip", "\u2715harmed.79 .75 to .83accuracy .10 twin .89"),
        ("Krum", "sign flip", "\u2713held\u2212.01 \u2212.02 to .01accuracy .79 twin .78"),
        ("noise", "labels", "\u2713no evidence.00 \u2212.05 to .05distance .44 blind .44"),
        ("undefended", "linear", "not applicable"),
        ("Krum", "one image", "\u2715leak.97 same view as undefended"),
        ("noise", "linear", "\u2013 not run"),
    ],
)
def test_a_cell_shows_its_verdict_its_figure_and_what_that_was_computed_from(
    page, row, column, text
):
    assert verdict_of(page, row, column) == text


def test_a_verdict_is_said_in_words_wherever_it_is_shown(page):
    """Colour alone would tell nothing to who does not see it."""
    for cell in CELLS:
        if cell.column != "none":
            assert f"{cell.column}: {says(cell.verdict)}" in section(page, "summary").text
            assert says(cell.verdict) in section(page, "verdicts").text


def test_what_is_reused_is_told_where_it_was_run(page):
    assert "Same view as undefended, told there: one image." in section(page, "cells").text


def test_a_reused_cell_is_told_in_its_own_row_where_the_other_was_not_run():
    cell = Cell("Krum", "linear", Verdict.LEAK, 0.5, reused_from="somebody")
    assert section(page_of(made_up_table(cell)), "cell-1-4").text


FULL = {
    "cell-0-1": [
        "The lower end of the accuracy lost against the twin is above .05.",
        ".79 (95 %: .75 to .83)",
        "accuracy.10",
        "twin.89",
        "attackminus five times the honest mean",
        "strengthscale 5",
        "rests on3 seeds",
        "protocol12 rounds",
        "took12.3 s",
        "notediverged in round 7",
    ],
    "cell-0-3": [
        "The lower end of the share identified less its null is above .1.",
        ".97 (95 %: .70 to .98)",
        "identified.98",
        "null.01",
        "41.6 dB, blind guess 11.5 dB",
        "strength300 iterations",
        "rests on16 victims",
        "protocolone step",
    ],
    "cell-0-4": ["cannot be run here", "notethe first layer is a convolution"],
    "cell-0-5": ["blind distance less the attack's.23", "distance.21", "blind.44"],
}


@pytest.mark.parametrize("place", FULL)
def test_a_cell_is_told_in_full(page, place):
    text = section(page, place).text
    assert [part for part in FULL[place] if part not in text] == []


def test_the_curves_of_a_cell_stand_beside_those_of_its_twin(page):
    (chart,) = section(page, "cell-0-1").find("svg")
    assert chart.attributes["aria-label"] == (
        "Accuracy by round, undefended under sign flip. At the right end: attacked .10, "
        "honest alone .89."
    )
    assert len(chart.find(class_="thin")) == 3  # two seeds attacked, one honest


def test_accuracy_by_round_averages_the_seeds(page):
    (chart,) = (s for s in page.find("svg") if "without attack" in s.attributes["aria-label"])
    assert "undefended .91, Krum .80" in chart.attributes["aria-label"]
    assert "Krum: diverged in round 4" in page.text


def test_the_crowd_is_drawn_from_the_smallest_to_the_largest():
    one, ten, many = pictures().crowd
    table = made_up_table(pictures=replace(pictures(), crowd=(ten, many, one)))
    (chart,) = (s for s in page_of(table).find("svg") if "in the sum" in s.attributes["aria-label"])
    assert chart.attributes["aria-label"].endswith("At the right end: identified .28, null .21.")
    assert len(chart.find(class_="band")) == 1


def test_the_strip_shows_the_images_and_what_was_measured(page):
    (figure,) = page.find("figure", class_="strip")
    files = [b64decode(img.attributes["src"].split(",")[1]) for img in figure.find("img")]
    expected = [pictures().truth, *(row.images for row in pictures().strip)]
    for file, images in zip(files, expected, strict=True):
        np.testing.assert_array_equal(read_png(file), grey(images, enlarge=3))
    assert "7 of 10 picked out of 100" in figure.text
    assert [len(pips.find("i", class_="on")) for pips in figure.find(class_="pips")] == [10, 7]
    assert "one step of training" in figure.text
    assert "of a whole run" in figure.text


def test_every_picture_has_words_and_every_button_its_label(page):
    assert all(img.attributes["alt"] for img in page.find("img"))
    assert all(svg.attributes["aria-label"] for svg in page.find("svg"))
    buttons = [radio.attributes["id"] for radio in page.find("input")]
    assert buttons == [label.attributes["for"] for label in page.find("label")]


def test_the_slider_needs_no_script(page):
    radios = page.find("input", type="radio")
    assert len(radios) == len(pictures().slider)
    assert ["checked" in radio.attributes for radio in radios] == [True, False]
    assert len({radio.attributes["name"] for radio in radios}) == 1
    (style,) = page.find("style")
    assert "input:checked + label + .stop" in style.text


def test_an_epsilon_always_stands_beside_its_adversary(page):
    said = [td.text for td in page.find("td", **{"data-head": "privacy"})]
    assert said[0] == "epsilon infinite, against everybody"
    assert said[2] == (
        "client level, zero-out, against the server: no meaningful guarantee (epsilon above 100)"
    )
    assert MEANINGLESS not in page.text


def test_what_fails_is_shown_failing(page):
    lines = [li.text for li in section(page, "failures").find("li")]
    assert [line.split(":")[0] for line in lines] == [
        "noise, one image",
        "IPM takes .66 (.58 to .74) from Krum and .02 (.01 to .06) from undefended.",
    ]


def test_where_nothing_fails_nothing_is_said():
    assert page_of(made_up_table(cells={})).find(id="failures") == []


def test_every_verdict_is_explained(page):
    reading = section(page, "reading")
    assert [dt.text.lstrip("\u2715\u2713?") for dt in reading.find("dt")] == [
        says(verdict) for verdict in Verdict
    ]


def test_a_table_without_rows_is_refused():
    with pytest.raises(ValueError, match=r"at least one row\. Found none\. Name a pipeline"):
        report_html(made_up_table(rows=()))


def test_a_table_saves_itself_as_a_page(tmp_path):
    path = made_up_table().save(tmp_path / "report.html")
    assert path.read_text(encoding="utf-8") == report_html(made_up_table())


def test_a_tag_escapes_all_but_tags():
    assert tag("p", "<b>", tag("b", "&"), title='"<') == (
        '<p title="&quot;&lt;">&lt;b&gt;<b>&amp;</b></p>'
    )
    assert join("<", Markup("<i>"), between="&") == "&lt;&<i>"
