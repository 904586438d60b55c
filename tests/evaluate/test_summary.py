"""What the table says as a whole follows from its cells."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.made_up import CELLS, COLUMNS, ROWS, made_up_table
from privfl.evaluate._summary import (
    attacks,
    backfires,
    closed_by,
    contested,
    seeds_run,
    static_leaks,
    who_closes,
    who_wins,
)
from privfl.evaluate._table import Cell, Column, Row
from privfl.evaluate._verdict import Verdict
from privfl.evaluate._words import cost, epsilon, fraction, interval

HARMED, HELD, LEAK, UNCLEAR = (
    Verdict.HARMED,
    Verdict.HELD,
    Verdict.LEAK,
    Verdict.INCONCLUSIVE,
)


def table_of(**verdicts):
    """A table of two columns, and a row a keyword with its two verdicts."""
    columns = Column("a", "poisoning", "12 rounds"), Column("b", "poisoning", "12 rounds")
    cells = {
        (row, column.name): Cell(row, column.name, verdict)
        for row, pair in verdicts.items()
        for column, verdict in zip(columns, pair, strict=True)
        if verdict
    }
    rows = tuple(Row(name, "Pipeline()") for name in verdicts)
    return made_up_table(rows=rows, columns=columns, cells=cells)


def test_the_runs_without_an_attack_are_no_attack():
    assert [c.name for c in attacks(made_up_table(), "poisoning")] == ["sign flip", "IPM"]


def test_only_what_got_through_somewhere_tells_rows_apart():
    names = [column.name for column in contested(made_up_table())]
    assert names == ["sign flip", "IPM", "one image", "labels"]


@pytest.mark.parametrize(
    ("verdicts", "says"),
    [
        (
            {"x": (HARMED, HELD), "y": (HELD, HARMED), "z": (HARMED, HARMED)},
            "No row wins every column: of the 2 attacks that got through somewhere, "
            "x and y close 1 each, the most.",
        ),
        (
            {"x": (HARMED, HARMED), "y": (HELD, UNCLEAR)},
            "No row wins every column: of the 2 attacks that got through somewhere, "
            "y closes 1, the most.",
        ),
        (
            {"x": (HARMED, HARMED), "y": (HELD, HELD)},
            "y wins every column: all 2 attacks that got through somewhere are closed.",
        ),
        (
            {"x": (HARMED, HARMED), "y": (HELD, None)},  # what was not run is not won
            "No row wins every column: of the 2 attacks that got through somewhere, "
            "y closes 1, the most.",
        ),
        (
            {"x": (HARMED, HARMED), "y": (UNCLEAR, UNCLEAR)},
            "No row wins every column: none closes any of the 2 attacks that got through "
            "somewhere.",
        ),
        (
            {"x": (UNCLEAR, HELD)},
            "No attack got through anywhere, so this table tells no pipelines apart.",
        ),
    ],
)
def test_whether_a_row_wins_is_computed(verdicts, says):
    assert who_wins(table_of(**verdicts)) == says


def test_who_closes_what_is_told_with_what_it_costs():
    assert who_closes(made_up_table()) == (
        ("sign flip", "Krum (accuracy .83 against .91 undefended)"),
        ("labels", "noise (accuracy .87 against .91 undefended)"),
        ("IPM \u00b7 one image", "no row"),
    )


def test_a_row_closes_only_what_is_contested():
    table = table_of(x=(HARMED, HELD), y=(HELD, HELD))
    assert [column.name for column in closed_by(table, table.rows[1])] == ["a"]


def test_pictures_that_are_static_and_identify_are_named():
    (line,) = static_leaks(made_up_table())
    assert line == (
        "noise, one image: 6.5 dB where a blind guess reaches 11.5 dB, and yet .53 of the victims "
        "are identified (null .03): leak."
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"psnr": 20.0},
        {"psnr": None},
        {"verdict": UNCLEAR, "interval": (-0.1, 0.3)},
        {"reused_from": "undefended"},
    ],
    ids=["no static", "no picture", "perhaps chance", "told elsewhere"],
)
def test_other_pictures_are_not_named(changes):
    (cell,) = (c for c in CELLS if (c.row, c.column) == ("noise", "one image"))
    assert static_leaks(made_up_table(replace(cell, **changes))) == ()


def test_a_static_picture_that_identifies_is_named_even_where_the_verdict_is_open():
    (cell,) = (c for c in CELLS if (c.row, c.column) == ("noise", "one image"))
    table = made_up_table(replace(cell, verdict=UNCLEAR, interval=(0.02, 0.3)))
    assert "inconclusive" in static_leaks(table)[0]


def test_a_defence_that_makes_an_attack_worse_is_named():
    assert backfires(made_up_table()) == (
        "IPM takes .66 (.58 to .74) from Krum and .02 (.01 to .06) from undefended.",
    )


def test_it_is_not_named_where_the_intervals_meet():
    assert backfires(made_up_table(Cell("Krum", "IPM", HARMED, 0.2, (0.06, 0.4)))) == ()


@pytest.mark.parametrize(
    ("seeds", "wanted", "says"),
    [
        (3, 3, "Seeds run for every poisoning cell: 3."),
        (3, 5, "Seeds run for every poisoning cell: 3 of the 5 asked for."),
        (
            2,
            3,
            "Seeds run for every poisoning cell: 2 of the 3 asked for. "
            "A poisoning verdict needs three: until then it is inconclusive.",
        ),
    ],
)
def test_how_many_seeds_ran_is_told(seeds, wanted, says):
    assert seeds_run(made_up_table(seeds=seeds, wanted=wanted)) == says


def test_the_first_row_is_compared_with_nobody():
    assert cost(made_up_table(), ROWS[0]) == "accuracy .91"
    assert (
        cost(made_up_table(), Row("new", "Pipeline()")) == "accuracy \u2013 against .91 undefended"
    )


@given(st.floats(-2, 2))
def test_a_fraction_is_within_half_a_hundredth_and_never_minus_nothing(value):
    text = fraction(value)
    assert abs(float(text.replace("\u2212", "-")) - value) <= 0.005 + 1e-9
    assert text != "\u2212.00"
    assert not text.startswith("0")


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_is_no_number_is_a_dash(value):
    assert fraction(value) == "\u2013"


def test_an_interval_that_is_not_there_is_not_written():
    assert interval(None) == interval((float("-inf"), float("inf"))) == ""
    assert interval((-0.05, 1.0)) == "\u2212.05 to 1.00"


def test_an_epsilon_says_that_it_is_one():
    assert epsilon("at most 3 against the server") == "epsilon at most 3 against the server"
    assert (
        epsilon("against the server: epsilon at most 3") == "against the server: epsilon at most 3"
    )


def test_columns_are_told_in_the_order_of_the_table():
    assert [c.name for c in attacks(made_up_table())] == [c.name for c in COLUMNS[1:]]
