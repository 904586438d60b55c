"""The table of verdicts in a terminal."""

import io

import pytest
from rich.console import Console

from evaluate.made_up import COLUMNS, ROWS, made_up_table
from privfl.evaluate._table import Cell, Column, Row
from privfl.evaluate._terminal import print_table
from privfl.evaluate._verdict import Verdict


def printed(table, width=100, **options):
    file = io.StringIO()
    print_table(table, Console(file=file, width=width, **options))
    return file.getvalue()


def grids(table, width):
    """What stands above the key and the sentences."""
    return printed(table, width).partition("no evid.: ")[0]


def wide_table():
    columns = tuple(Column(f"attack {k}", "privacy", "one step") for k in range(30))
    cells = {
        (r.name, c.name): Cell(r.name, c.name, Verdict.LEAK, 0.5) for r in ROWS for c in columns
    }
    return made_up_table(columns=columns, cells=cells)


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("table", [made_up_table(), wide_table()], ids=["small", "wide"])
def test_no_line_is_longer_than_the_terminal(table, width):
    lines = printed(table, width, force_terminal=True, color_system=None).splitlines()
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [80, 100])
def test_columns_that_do_not_fit_go_to_a_further_table(width):
    words = grids(wide_table(), width).split()
    assert all(words.count(str(k)) == 1 for k in range(30))
    assert words.count("leak") == 30 * len(ROWS)
    assert words.count("undefended") > 1


def test_columns_that_fit_are_in_one_table():
    assert grids(made_up_table(columns=COLUMNS[1:3]), 80).split().count("Krum") == 1


def test_kinds_and_protocols_have_their_own_tables():
    text = printed(made_up_table())
    heads = ["Privacy, one step: ", "Privacy, as trained: ", "Poisoning, 12 rounds: "]
    assert [text.count(head) for head in heads] == [1, 1, 1]
    assert sorted(heads, key=text.index) == heads


def test_a_cell_is_its_verdict_and_its_figure():
    table = made_up_table(columns=COLUMNS[2:3], rows=ROWS[1:2])
    lines = printed(table).splitlines()
    assert lines[2].split() == ["Krum", "harmed"]
    assert lines[3].split() == ["accuracy", ".83", ".66"]


@pytest.mark.parametrize(
    ("verdict", "word"),
    [
        (Verdict.CERTIFIED_EXACT, "exact"),
        (Verdict.LEAK, "leak"),
        (Verdict.NO_EVIDENCE, "no evid."),
        (Verdict.INCONCLUSIVE, "unclear"),
        (Verdict.NOT_APPLICABLE, "n/a"),
        (Verdict.HARMED, "harmed"),
        (Verdict.HELD, "held"),
    ],
)
def test_every_verdict_has_its_word(verdict, word):
    table = made_up_table(Cell("Krum", "IPM", verdict), columns=COLUMNS[2:3], rows=ROWS[1:2])
    assert printed(table).splitlines()[2].split(maxsplit=1)[1].strip() == word


def test_what_was_not_run_is_a_dash():
    table = made_up_table(columns=COLUMNS[4:5], rows=ROWS[2:3])
    assert printed(table).splitlines()[2].split() == ["noise", "\u2013"]


def test_what_it_all_says_stands_under_it():
    text = printed(made_up_table())
    for line in (
        "No row wins every column: of the 4 attacks that got through somewhere, ",
        "sign flip \u2013 closed by Krum (accuracy .83 against .91 undefended)",
        "IPM \u00b7 one image \u2013 closed by no row",
        "Seeds run for every poisoning cell: 3 of the 5 asked for.",
    ):
        assert line in text
    assert text.index("Poisoning") < text.index("No row wins")


def test_a_pipe_gets_words_and_a_terminal_colours():
    assert "\x1b" not in printed(made_up_table())
    assert "\x1b[1;31mleak" in printed(
        made_up_table(), force_terminal=True, color_system="standard"
    )


def test_a_sentence_is_one_line_in_a_pipe():
    sentence = "No row wins every column"
    (line,) = (x for x in printed(made_up_table(), 40).splitlines() if x.startswith(sentence))
    assert line.endswith("the most.")


def test_brackets_in_a_name_are_letters():
    name = "[red]x[/][1]"
    table = made_up_table(
        Cell(name, name, Verdict.HARMED),
        rows=(Row(name, "Pipeline()"),),
        columns=(Column(name, "poisoning", name),),
    )
    assert printed(table).count(name) == 4  # the title, the head, the row, and who closes it


def test_an_empty_table_still_says_so():
    text = printed(made_up_table(columns=(), cells={}))
    assert "No attack got through anywhere" in text
