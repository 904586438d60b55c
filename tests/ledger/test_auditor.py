"""The auditor's script: what it computes, and that it needs nothing of privfl."""

import math
import re
import subprocess
import sys

import pytest
from dp_accounting import get_epsilon_gaussian

from ledger.drafts import (
    OUTSIDER,
    ROOT,
    SERVER,
    auditor,
    charge,
    disjoint,
    fixed_size,
    gaussian,
    poisson,
)
from privfl.accounting import epsilon_of
from privfl.ledger._events import event_from_json
from privfl.ledger._store import Store

AUDITOR = auditor()
DELTA = 1e-5


def epsilon(
    *entries, delta=DELTA, unit="client", dataset="clinic", vantage=(), relation="zero-out"
):
    return AUDITOR.epsilon(entries, delta, unit, dataset, vantage, relation)


def assert_costs(found, z, count=1, delta=DELTA):
    """``found`` is the epsilon of ``count`` Gaussians of multiplier ``z``, from above."""
    expected = get_epsilon_gaussian(z / math.sqrt(count), delta)
    assert expected - 1e-9 <= found <= expected * 1.001 + 1e-4


def test_a_ledger_without_charges_costs_nothing():
    assert epsilon(disjoint("a", "b")) == 0


def test_a_gaussian_costs_what_balle_and_wang_say():
    assert epsilon(charge()) == pytest.approx(4.377178, abs=1e-3)


def test_releases_add_up():
    found = epsilon(charge(event=gaussian(3.0), count=4))
    assert_costs(found, 3.0, 4)
    assert_costs(epsilon(*[charge(event=gaussian(3.0)) for _ in range(5)]), 3.0, 5)
    nested = {"kind": "SelfComposedDpEvent", "count": 3, "event": gaussian(3.0)}
    empty = {"kind": "ComposedDpEvent", "events": []}
    both = {
        "kind": "ComposedDpEvent",
        "events": [nested, gaussian(3.0), {"kind": "NoOpDpEvent"}, empty],
    }
    assert_costs(epsilon(charge(event=both, count=2)), 3.0, 8)


def test_under_replace_one_neighbours_lie_twice_as_far_apart():
    assert_costs(epsilon(charge(event=gaussian(4.0)), relation="replace-one"), 2.0)
    assert_costs(epsilon(charge(event=gaussian(4.0), relation="replace-one")), 2.0)


def test_one_charge_under_replace_one_puts_all_under_it():
    rows = [charge(event=gaussian(4.0), relation=r) for r in ("replace-one", "zero-out")]
    assert_costs(epsilon(*rows), 2.0, 2)


def test_add_remove_is_answered_by_its_own_charges_only():
    assert_costs(epsilon(charge(relation="add/remove"), relation="add/remove"), 1.0)
    with pytest.raises(ValueError, match="charges are under"):
        epsilon(charge(), charge(relation="add/remove"), relation="add/remove")


def test_what_holds_against_more_holds_against_fewer_and_not_the_other_way():
    assert_costs(epsilon(charge(vantage=SERVER), vantage=OUTSIDER), 1.0)
    assert epsilon(charge(vantage=OUTSIDER), vantage=SERVER) == math.inf
    assert epsilon(charge(vantage=SERVER), vantage=["server", 3]) == math.inf
    assert_costs(epsilon(charge(vantage=[3, "server"]), vantage=SERVER), 1.0)


def test_of_one_release_the_claim_against_the_fewest_is_taken():
    shared = {"release": "0" * 32}
    rows = [
        charge(vantage=SERVER, event=gaussian(1.0), **shared),
        charge(vantage=OUTSIDER, event=gaussian(5.0), **shared),
    ]
    assert_costs(epsilon(*rows, vantage=OUTSIDER), 5.0)
    assert_costs(epsilon(*rows, vantage=SERVER), 1.0)
    rows += [charge(vantage=OUTSIDER, event=gaussian(5.0), **shared)]
    assert_costs(epsilon(*rows, vantage=OUTSIDER), 5.0, 2)


def test_a_clients_charge_counts_for_each_of_its_records():
    record = charge(unit="record", event=gaussian(7.0), release="0" * 32)
    assert_costs(epsilon(charge(event=gaussian(3.0)), unit="record"), 3.0)
    both = [record, charge(event=gaussian(3.0), release="0" * 32)]
    assert_costs(epsilon(*both, unit="record"), 7.0)
    assert_costs(epsilon(*both, unit="client"), 3.0)


def test_a_records_charge_is_no_promise_to_a_client():
    """The product may know a cap and say more; never less."""
    row = charge(unit="record", event=gaussian(50.0), max_records=10)
    assert epsilon(row) == math.inf
    assert_costs(epsilon(row, unit="record"), 50.0)


def test_names_are_one_dataset_unless_one_entry_says_otherwise():
    rows = [charge(dataset=name, event=gaussian(3.0)) for name in "abc"]
    assert_costs(epsilon(*rows, dataset="a"), 3.0, 3)
    assert_costs(epsilon(*rows, disjoint("a", "b"), dataset="a"), 3.0, 2)
    assert_costs(epsilon(*rows, disjoint("a", "b"), disjoint("b", "c"), dataset="a"), 3.0, 2)
    assert_costs(epsilon(*rows, disjoint("a", "b"), disjoint("b", "c"), dataset="b"), 3.0, 1)
    assert_costs(epsilon(*rows, disjoint("a", "b", "c"), dataset="c"), 3.0, 1)


def test_charged_deltas_are_taken_off():
    found = epsilon(charge(delta=2e-6, count=3, event=gaussian(3.0)))
    assert_costs(found, 3.0, 3, delta=4e-6)
    with pytest.raises(ValueError, match="leave nothing of delta"):
        epsilon(charge(delta=5e-6, count=2))


def test_a_release_that_nobody_defended_makes_it_infinite_for_good():
    private, bare = charge(), charge(event={"kind": "NonPrivateDpEvent"}, vantage=OUTSIDER)
    assert epsilon(private, bare) == math.inf
    bare |= {"release": private["release"], "unit": "record"}
    assert epsilon(private, bare) == math.inf
    nested = {"kind": "ComposedDpEvent", "events": [gaussian(), {"kind": "NonPrivateDpEvent"}]}
    assert epsilon(charge(event=nested)) == math.inf
    assert epsilon(charge(event=gaussian(0.0))) == math.inf


EVENTS = {
    "few sampled": poisson(0.01, 1.0),
    "many sampled": poisson(0.9, 5.0),
    "all sampled": poisson(1.0, 3.0),
    "little noise": poisson(0.5, 0.05),
    "two on one sample": poisson(0.1, 1.0)
    | {"event": {"kind": "ComposedDpEvent", "events": [gaussian(2.0), gaussian(3.0)]}},
    "the same twice on one sample": poisson(0.1, 1.0)
    | {"event": {"kind": "ComposedDpEvent", "events": [gaussian(3.0), gaussian(3.0)]}},
    "fixed size": fixed_size(1000, 10, 2.0),
    "half of all": fixed_size(1000, 500, 8.0),
    "Laplace": {"kind": "LaplaceDpEvent", "noise_multiplier": 10.0},
    "randomised response": {
        "kind": "RandomizedResponseDpEvent",
        "noise_parameter": 0.9,
        "num_buckets": 3,
    },
}


@pytest.mark.parametrize("relation", ["zero-out", "replace-one", "add/remove"])
@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_it_comes_to_what_the_product_says(event, relation):
    """It refuses what dp_accounting's own accountants refuse, and whatever the product refuses."""
    row = charge(event=event, count=10, relation=relation)
    found, refused = None, None
    try:
        found = epsilon(row, relation=relation)
        wanted = epsilon_of(event_from_json(event), DELTA, relation, count=10).upper
    except Exception as error:  # of several kinds
        refused = str(error)
    if refused is None:
        assert found == pytest.approx(wanted if wanted <= 100 else math.inf, rel=1e-3)
    else:
        assert found is None
        assert re.search("replace-one|REPLACE_ONE|Unsupported|must be", refused)


def test_a_mixture_of_kinds_comes_to_what_the_product_says():
    import dp_accounting as dp

    events = [gaussian(3.0), poisson(0.1, 1.0), EVENTS["Laplace"]]
    whole = dp.ComposedDpEvent([event_from_json(event) for event in events])
    found = epsilon(*[charge(event=event, count=5) for event in events])
    assert found == pytest.approx(epsilon_of(whole, DELTA, count=5).upper, rel=1e-3)


# As a command.


@pytest.fixture
def ledger(tmp_path):
    store = Store(tmp_path / "run.db")
    store.append([charge(), charge(dataset="other"), disjoint("clinic", "other")])
    return store


def run(*words):
    """Run it where neither privfl nor torch was imported, and see that they were not."""
    code = (
        "import runpy, sys; script = sys.argv[1]; sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(script, run_name='__main__')\n"
        "finally: assert not {'privfl', 'torch'} & {name.partition('.')[0] for name in sys.modules}"
    )
    words = [sys.executable, "-c", code, ROOT / "docs/verify_ledger.py", *words]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd="/")


def test_the_command_checks_and_computes(ledger):
    done = run(ledger.path, ledger.head, "1e-5", "client", "clinic", "server", "zero-out")
    assert done.returncode == 0, done.stderr
    said = [f"3 entries, head {ledger.head}", "epsilon at most 4.37718"]
    assert done.stdout.splitlines() == said


def test_the_command_fails_on_what_was_changed(ledger):
    done = run(ledger.path, "f" * 64)
    assert done.returncode == 1
    assert "the anchor is not in the chain" in done.stderr
    data = ledger.path.read_bytes()
    ledger.path.write_bytes(data.replace(b"clinic", b"Clinic", 1))
    done = run(ledger.path)
    assert done.returncode == 1
    assert "was changed" in done.stderr
