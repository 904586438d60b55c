"""`privfl ledger …`: what an auditor types."""

import json

import pytest
import torch
from dp_accounting import GaussianDpEvent
from typer.testing import CliRunner

from privfl import Ledger, Unit, Vantage
from privfl.cli import app
from privfl.core import Charge, Relation, weights_hash

CHARGE = Charge(
    GaussianDpEvent(2.0), Unit.CLIENT, Vantage.OUTSIDER, Relation.ZERO_OUT, count=4, n_units=50
)
WEIGHTS = {"w": torch.ones(2)}


@pytest.fixture
def file(tmp_path):
    ledger = Ledger(tmp_path / "run.db")
    account = ledger.datasets({0: "clinic-0", 1: "clinic-1"})
    account.reserve({0: [CHARGE], 1: [CHARGE]}, pipeline="Pipeline(…)").bind(
        update=bytes(32), model=weights_hash(WEIGHTS)
    )
    return tmp_path / "run.db"


def run(*words):
    return CliRunner().invoke(app, ["ledger", *map(str, words)])


def test_show_has_a_row_for_each_unit_dataset_and_adversary(file):
    done = run("show", file)
    assert done.exit_code == 0
    rows = [line.split() for line in done.output.splitlines() if "clinic" in line]
    assert [row[:5] for row in rows] == [
        ["client", f"clinic-{k}", "outsider", "zero-out", "1"] for k in (0, 1)
    ]
    assert all("4.38" in row for row in rows)


def test_show_json_is_for_machines(file):
    first, second = json.loads(run("show", file, "--json").stdout)
    assert first["epsilon"]["closed form"] == pytest.approx(4.377178, abs=1e-5)
    assert (first["unit"], first["against"], second["dataset"]) == (
        "client",
        "outsider",
        "clinic-1",
    )


def test_an_epsilon_that_means_nothing_is_no_number(file):
    Ledger(file).dataset("clinic-0").reserve([])
    first, _ = json.loads(run("show", file, "--json").stdout)
    assert first["epsilon"] == {"non-private": None}
    assert "no meaningful guarantee" in first["says"]


def test_verify_prints_the_head_to_keep(file):
    done = run("verify", file)
    assert done.exit_code == 0
    assert Ledger(file).head in done.output
    assert run("verify", file, "--anchor", Ledger(file).head).exit_code == 0


def test_verify_exits_with_one_where_something_was_changed(file):
    data = file.read_bytes()
    file.write_bytes(data.replace(b'"count":4', b'"count":1'))
    done = run("verify", file)
    assert done.exit_code == 1
    assert "Traceback" not in done.output


def test_a_lost_tail_is_found_by_the_anchor(file, tmp_path):
    copy = file.read_bytes()
    Ledger(file).dataset("clinic-0").reserve([CHARGE])
    anchor = Ledger(file).head
    file.write_bytes(copy)
    assert run("verify", file).exit_code == 0
    assert run("verify", file, "--anchor", anchor).exit_code == 1


def test_export_tells_totals_and_nobody_by_name(file):
    done = run("export", file)
    found = json.loads(done.stdout)
    assert found["totals"][0]["datasets"] == 2
    assert "clinic" not in done.stdout


def test_export_tells_every_entry_where_that_is_asked_for(file):
    lines = run("export", file, "--entries").stdout.splitlines()
    entries = [json.loads(line) for line in lines]
    assert [e["kind"] for e in entries] == ["disjoint", "charge", "charge", "release"]
    assert entries[-1]["hash"] == Ledger(file).head


def test_budget_says_what_is_left_and_how_many_more_fit(file):
    rows = json.loads(run("budget", file, "--epsilon", 8, "--delta", "1e-5", "--json").stdout)
    assert {row["releases_left"] for row in rows} == {1}  # mu: 1, sqrt 2, sqrt 3: 4.4, 6.6, 8.4
    text = run("budget", file, "--epsilon", 8, "--delta", "1e-5").output
    assert "3.62" in text


def test_statement_writes_a_page_and_knows_the_model(file, tmp_path):
    torch.save(WEIGHTS, tmp_path / "final.pt")
    page = tmp_path / "statement.md"
    words = ("--delta", "1e-5", "--model", tmp_path / "final.pt")
    assert run("statement", file, *words, "--out", page).exit_code == 0
    assert "is the last one" in page.read_text()
    assert run("statement", file, *words).output == page.read_text()


def test_several_ledgers_make_one_page(file):
    assert run("statement", file, file, "--delta", "1e-5").output.count("Chain head") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "nowhere.db"), "nowhere.db is not there"),
        (("statement", "FILE", "--delta", "0.02"), "below 1/50"),
        (("verify", "FILE", "--anchor", "short"), "64 hex digits"),
        (("budget", "FILE", "--epsilon", "-1", "--delta", "1e-5"), "epsilon must be positive"),
        (("show", "FILE", "--delta", "2"), "delta must be"),
        (("statement", "FILE", "--delta", "1e-5", "--model", "gone.pt"), "gone.pt"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(file, words, message):
    done = run(*(file if word == "FILE" else word for word in words))
    assert done.exit_code == 2
    assert message in done.output
    assert "Traceback" not in done.output


def test_looking_for_a_ledger_makes_none(tmp_path):
    run("show", tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_no_ledger_is_said_so(tmp_path):
    (tmp_path / "text.db").write_text("hello")
    done = run("show", tmp_path / "text.db")
    assert done.exit_code == 1
    assert "no ledger" in done.output
