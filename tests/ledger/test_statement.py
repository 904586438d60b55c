"""The page that an auditor keeps says what the ledger holds, and how to find it again."""

import contextlib
import io
import math

import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dp_accounting import (
    GaussianDpEvent,
    LaplaceDpEvent,
    PoissonSampledDpEvent,
    RandomizedResponseDpEvent,
    SampledWithoutReplacementDpEvent,
    get_epsilon_gaussian,
)
from dp_accounting.dp_event import RepeatAndSelectDpEvent

from privfl import Ledger, LedgerTampered, Unit, Vantage
from privfl.core import Charge, Relation, weights_hash
from privfl.ledger import statement
from privfl.ledger._remaining import remaining
from privfl.ledger._reproduce import reproduce
from privfl.ledger._standing import standings

DELTA = 1e-5
KINDS = {"unit": "client", "dataset": "a", "vantage": "outsider", "relation": "zero-out"}
GAUSSIAN = GaussianDpEvent(2.0)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "run.db")


def rows(page):
    return [line for line in page.splitlines() if line.startswith(("| client", "| record"))]


def cells(row):
    return [cell.strip() for cell in row.strip("|").split("|")]


def printed(lines):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec("\n".join(lines), {})
    return float(out.getvalue().split()[-1])


def test_a_row_says_unit_neighbours_dataset_adversary_and_both_bounds(ledger):
    ledger.charge(GAUSSIAN, count=4, **KINDS)  # mu 1: epsilon 4.377
    (row,) = rows(statement([ledger], DELTA))
    unit, relation, dataset, adversary, releases, pld, _, audited = cells(row)
    assert (unit, relation, dataset, releases) == ("client", "zero-out", "a", "1")
    assert adversary.startswith("outsider")
    assert float(pld) == pytest.approx(4.377, abs=0.01)
    assert audited == "not audited"


def test_many_datasets_are_one_row_with_a_range(ledger):
    names = {k: f"clinic-{k}" for k in range(10)}
    account = ledger.datasets(names)
    charge = Charge(GAUSSIAN, Unit.CLIENT, Vantage.OUTSIDER, Relation.ZERO_OUT)
    account.reserve({name: [charge] for name in names})
    account.reserve({3: [charge]})
    (row,) = rows(statement([ledger], DELTA))
    assert "clinic-0 … clinic-9 (10)" in row
    low, high = cells(row)[5].split(" to ")
    assert float(low) == pytest.approx(get_epsilon_gaussian(2.0, DELTA), abs=0.01)
    assert float(high) == pytest.approx(get_epsilon_gaussian(math.sqrt(2), DELTA), abs=0.01)


def test_units_and_adversaries_have_rows_of_their_own_and_are_never_added(ledger):
    ledger.charge(GAUSSIAN, **KINDS)
    ledger.charge(GAUSSIAN, **KINDS | {"unit": "record", "vantage": "server"})
    assert len(rows(statement([ledger], DELTA))) == 2


def test_an_undefended_release_reads_as_no_guarantee(ledger):
    ledger.charge(GAUSSIAN, **KINDS)
    ledger.dataset("a").reserve([])
    (row,) = rows(statement([ledger], DELTA))
    assert "no meaningful guarantee" in row


def test_what_was_typed_and_what_was_assumed_is_said(ledger):
    ledger.charge(GAUSSIAN, **KINDS)
    ledger.datasets({0: "a", 1: "b"}, max_records=7)
    page = statement([ledger], DELTA)
    assert "1 of the releases rest on what a person typed" in page
    assert "Disjoint, as declared: a, b" in page
    assert "Trusted opener" in page
    assert "cannot break it" in page


def test_the_head_the_keys_and_the_runs_are_on_the_page(tmp_path):
    for _ in range(3):  # three openings of the file are three runs
        ledger = Ledger(tmp_path / "run.db")
        ledger.dataset("a").reserve(
            [Charge(GAUSSIAN, Unit.CLIENT, Vantage.OUTSIDER, Relation.ZERO_OUT)],
            pipeline="Pipeline(Clip(1.0))",
        )
    entry = ledger.sign(Ed25519PrivateKey.generate())
    page = statement([ledger], DELTA)
    assert ledger.head in page
    assert entry.fields["key"] in page
    assert "Runs that charged a dataset: 3" in page
    assert "Pipeline(Clip(1.0))" in page


def test_it_says_whether_it_is_this_models_ledger(ledger):
    first, last = ({"w": torch.full((2,), value)} for value in (1.0, 2.0))
    charge = Charge(GAUSSIAN, Unit.CLIENT, Vantage.OUTSIDER, Relation.ZERO_OUT)
    for weights in (first, last):
        ledger.dataset("a").reserve([charge]).bind(model=weights_hash(weights))
    assert "is the last one" in statement([ledger], DELTA, model=weights_hash(last))
    assert "is an earlier one" in statement([ledger], DELTA, model=weights_hash(first))
    other = weights_hash({"w": torch.zeros(2)})
    assert "is NOT one that this ledger released" in statement([ledger], DELTA, model=other)


def test_a_models_hash_depends_on_names_values_and_not_on_their_order():
    a, b = torch.ones(2), torch.zeros(2)
    assert weights_hash({"a": a, "b": b}) == weights_hash({"b": b, "a": a})
    assert weights_hash({"a": a, "b": b}) != weights_hash({"a": b, "b": a})
    assert weights_hash({"a": a}) != weights_hash({"a": a.double()})


def test_several_ledgers_have_a_section_each(tmp_path):
    ledgers = [Ledger(tmp_path / name) for name in ("one.db", "two.db")]
    for ledger in ledgers:
        ledger.charge(GAUSSIAN, **KINDS)
    assert len(rows(statement(ledgers, DELTA))) == 2


@pytest.mark.parametrize(("delta", "fine"), [(0.0099, True), (0.01, False), (0.5, False)])
def test_a_delta_that_would_allow_publishing_one_unit_is_refused(ledger, delta, fine):
    charge = Charge(GAUSSIAN, Unit.CLIENT, Vantage.OUTSIDER, Relation.ZERO_OUT, n_units=100)
    ledger.dataset("a").reserve([charge])
    if fine:
        statement([ledger], delta)
    else:
        with pytest.raises(ValueError, match=r"below 1/100 .* in the clear"):
            statement([ledger], delta)


def test_a_broken_chain_gets_no_statement(ledger, tmp_path):
    ledger.charge(GAUSSIAN, **KINDS)
    data = (tmp_path / "run.db").read_bytes()
    (tmp_path / "run.db").write_bytes(data.replace(b'"count":1', b'"count":0'))
    with pytest.raises(LedgerTampered):
        statement([Ledger(tmp_path / "run.db")], DELTA)


def test_a_name_cannot_break_the_table(ledger):
    ledger.charge(GAUSSIAN, **KINDS | {"dataset": "a | b\nc"})
    (row,) = rows(statement([ledger], DELTA))
    assert r"a \| b c" in row


@pytest.mark.parametrize(
    ("event", "relation", "count"),
    [
        (GAUSSIAN, "zero-out", 4),
        (GAUSSIAN, "replace-one", 4),
        (GAUSSIAN, "add/remove", 1),
        (LaplaceDpEvent(5.0), "zero-out", 10),
        (PoissonSampledDpEvent(0.01, GaussianDpEvent(1.0)), "zero-out", 200),
        (PoissonSampledDpEvent(0.01, GaussianDpEvent(1.0)), "replace-one", 50),
        (RandomizedResponseDpEvent(0.9, 2), "replace-one", 20),
        (SampledWithoutReplacementDpEvent(1000, 10, GAUSSIAN), "replace-one", 50),
        (RepeatAndSelectDpEvent(PoissonSampledDpEvent(0.01, GAUSSIAN), 5.0, 1.0), "zero-out", 1),
    ],
)
def test_the_lines_of_dp_accounting_reproduce_the_figure(ledger, event, relation, count):
    ledger.charge(event, count=count, **KINDS | {"relation": relation})
    (standing,) = standings(ledger.book(), DELTA)
    again = printed(reproduce(standing.whole))
    assert again == pytest.approx(standing.interval.upper, rel=0.01)
    assert all(line in statement([ledger], DELTA) for line in reproduce(standing.whole))


@pytest.mark.parametrize("spent", [1, 5, 9, 10])
def test_what_remains_is_how_many_more_fit(ledger, spent):
    """Ten Gaussians at 4 come to the limit: mu = sqrt(10) / 4."""
    ledger.charge(GaussianDpEvent(4.0), count=spent, **KINDS)
    ledger.charge(GaussianDpEvent(4.0), **KINDS)
    (standing,) = standings(ledger.book(), DELTA)
    limit = get_epsilon_gaussian(4 / math.sqrt(spent + 1 + 7), DELTA) + 1e-6
    assert remaining(ledger.book(), "a", standing.question, limit, DELTA) == 7


def test_what_remains_is_counted_in_releases_like_the_last_one(ledger):
    """Loud, quiet, loud: the last was loud, whatever came first or under another name."""
    loud, quiet = GaussianDpEvent(4.0), GaussianDpEvent(400.0)
    for event, name in ((loud, "a"), (quiet, "b"), (loud, "a"), (quiet, "a")):
        ledger.charge(event, **KINDS | {"dataset": name})
    standing = next(standings(ledger.book(), DELTA))
    limit = get_epsilon_gaussian(4 / math.sqrt(5), DELTA)
    assert remaining(ledger.book(), "a", standing.question, limit, DELTA) > 10_000
    ledger.charge(loud, **KINDS)
    assert remaining(ledger.book(), "a", standing.question, limit, DELTA) < 3


def test_a_group_of_records_is_not_what_the_lines_reproduce(ledger):
    charge = Charge(GAUSSIAN, Unit.RECORD, Vantage.OUTSIDER, Relation.ZERO_OUT)
    client = Charge(GaussianDpEvent(9.0), Unit.CLIENT, Vantage.OUTSIDER, Relation.ZERO_OUT)
    account = ledger.dataset("a", max_records=20)
    account.reserve([charge])
    page = statement([ledger], DELTA)
    assert "GaussianDpEvent(noise_multiplier=2.0), 1)" in page
    account.reserve([client])  # now a client is asked about too: it is a group of 20 records
    assert "record level, a" in statement([ledger], DELTA)


def test_an_empty_ledger_has_a_statement_that_claims_nothing(ledger):
    page = statement([ledger], DELTA)
    assert "Witnessed" not in page
    assert "Written by privfl ." not in page
