"""Charts: where things lie, and what a reader who sees nothing is told."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from privfl.evaluate._svg import BOTTOM, LEFT, TOP, WIDTH
from privfl.evaluate._svg_bars import bar_chart
from privfl.evaluate._svg_lines import Line, line_chart

AXES = {"about": "A chart", "x": "round", "y": "accuracy"}
NAN = float("nan")


def drawn(*lines, **options):
    return ElementTree.fromstring(line_chart(lines, **AXES, **options))


def points(element):
    return [tuple(map(float, p)) for p in re.findall(r"([\d.]+) ([\d.]+)", element.get("d"))]


def of_class(chart, word):
    return [e for e in chart.iter() if word in e.get("class", "").split()]


def path(chart):
    (line,) = of_class(chart, "line")
    return points(line)


def test_one_is_at_the_top_and_zero_at_the_bottom():
    first, last = path(drawn(Line("a", ((1, 0.0), (3, 1.0)))))
    assert first == (LEFT, BOTTOM)
    assert last[0] > first[0]
    assert last[1] == TOP


def test_a_value_in_between_lies_in_between():
    chart = path(drawn(Line("a", ((1, 0.0), (2, 0.25), (5, 1.0)))))
    right = chart[-1][0]
    assert chart[1] == pytest.approx(
        (LEFT + (right - LEFT) / 4, BOTTOM - (BOTTOM - TOP) / 4), abs=0.1
    )


def test_on_a_logarithmic_axis_equal_factors_are_equal_steps():
    xs = [x for x, _ in path(drawn(Line("a", ((1, 1.0), (10, 1.0), (100, 1.0))), log=True))]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)


def test_what_is_no_number_is_left_out():
    assert len(path(drawn(Line("a", ((1, 0.1), (2, NAN), (3, 0.3)))))) == 2


def test_a_single_point_is_still_seen():
    (line,) = of_class(drawn(Line("a", ((1, 0.5),))), "line")
    assert "dot" in line.get("class")


@pytest.mark.parametrize("lines", [(), (Line("a", ()),), (Line("a", ((1, NAN),)),)])
def test_nothing_is_drawn_of_nothing(lines):
    assert line_chart(lines, **AXES) == ""


def test_a_band_runs_along_its_lower_ends_and_back_along_its_upper_ones():
    line = Line("a", ((1, 0.5), (2, 0.5)), band=((0.25, 0.75), (0.0, 1.0)))
    (band,) = of_class(drawn(line), "band")
    heights = [(BOTTOM - y) / (BOTTOM - TOP) for _, y in points(band)]
    assert heights == pytest.approx([0.25, 0.0, 1.0, 0.75], abs=0.01)


def test_a_band_without_an_end_is_interrupted_there():
    line = Line("a", ((1, 0.5), (2, 0.5), (3, 0.5)), band=((0.1, 0.9), (NAN, NAN), (0.1, 0.9)))
    (band,) = of_class(drawn(line), "band")
    assert len(points(band)) == 4


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@example([1.0] * 12)
@example([0.0] * 12)
def test_names_never_cover_each_other_and_keep_the_order_of_the_ends(ends):
    chart = drawn(*(Line(f"n{k}", ((1, 0.5), (2, end))) for k, end in enumerate(ends)))
    labels = {e.text: float(e.get("y")) for e in chart.iter("text") if e.text[0] == "n"}
    places = [labels[f"n{k}"] for k in sorted(range(len(ends)), key=lambda k: -ends[k])]
    assert all(after - before >= 12 for before, after in pairwise(sorted(places)))
    assert all(TOP <= place - 4 <= BOTTOM for place in places)  # 4: from base line to middle
    for (k, before), (j, after) in pairwise(enumerate(ends)):
        if before - after > 0.01:
            assert labels[f"n{k}"] < labels[f"n{j}"]


def test_a_long_name_is_shortened_and_told_in_full_in_its_title():
    name = "a pipeline with a name <longer> than a chart is wide"
    chart = drawn(Line(name, ((1, 0.5), (2, 0.5))))
    (title,) = (e for e in chart.iter() if e.tag == "title")
    assert title.text == name
    assert not any(len(e.text or "") > 24 for e in chart.iter("text"))


def test_the_numbers_of_a_long_axis_do_not_run_into_each_other():
    chart = drawn(Line("a", tuple((k, 0.5) for k in range(1, 101))))
    xs = [float(e.get("x")) for e in chart.iter("text") if e.get("text-anchor") == "middle"]
    assert all(after - before > 20 for before, after in pairwise(xs))


def test_who_does_not_see_a_chart_is_told_where_its_lines_end():
    chart = drawn(Line("a", ((1, 0.5), (2, 0.914))), Line("", ((1, 0.2), (2, 0.2))))
    assert chart.get("role") == "img"
    assert chart.get("aria-label") == "A chart. At the right end: a .91."


def test_bars_are_as_high_as_their_values_and_pairs_do_not_touch():
    chart = ElementTree.fromstring(bar_chart((0.5, 0.25), (0.125, 0.0), **AXES))
    first, second = (of_class(chart, style) for style in ("outline", "solid"))
    heights = [float(bar.get("height")) for bar in (*first, *second)]
    assert heights == pytest.approx([BOTTOM - TOP, 107, 53.5, 0], abs=0.1)
    bars = sorted((float(b.get("x")), float(b.get("width"))) for b in (*first, *second))
    assert all(x + width < after for (x, width), (after, _) in pairwise(bars))
    assert bars[-1][0] + bars[-1][1] < WIDTH


def test_bars_of_nothing_and_of_no_number_have_no_height():
    chart = ElementTree.fromstring(bar_chart((0.0, NAN), (0.0, 0.0), **AXES))
    assert {bar.get("height") for bar in chart.iter("rect")} == {"0.0"}
