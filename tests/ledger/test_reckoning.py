"""What a ledger answers: which releases count, for whom, and how they add up.

Expected values are closed forms of Gaussians: n releases at z are one at z / sqrt(n), and under
replace-one one at half the multiplier (Balle & Wang 2018; values from the literature).
"""

import math

import pytest
from dp_accounting import (
    ComposedDpEvent,
    GaussianDpEvent,
    LaplaceDpEvent,
    NeighboringRelation,
    NonPrivateDpEvent,
    PoissonSampledDpEvent,
    SampledWithoutReplacementDpEvent,
    SelfComposedDpEvent,
    get_epsilon_gaussian,
)

from privfl import Ledger, Unit, Vantage
from privfl.core import Charge, Relation

ONE = 4.377178095681  # epsilon of one Gaussian release at z = 1, delta 1e-5
TWO = get_epsilon_gaussian(1 / math.sqrt(2), 1e-5)
HALF = get_epsilon_gaussian(1 / 2, 1e-5)
DELTA = 1e-5
KINDS = {"unit": "client", "dataset": "a", "vantage": "outsider", "relation": "zero-out"}
GAUSSIAN = GaussianDpEvent(1.0)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "run.db")


def claim(event=GAUSSIAN, unit="client", vantage="outsider", relation="zero-out", **more):
    return Charge(event, Unit(unit), Vantage.of(vantage), Relation.of(relation), **more)


def ask(ledger, **question):
    return ledger.epsilon(DELTA, **(KINDS | question)).upper


def test_an_empty_ledger_has_spent_nothing(ledger):
    assert ledger.epsilon(DELTA).upper == 0


def test_releases_add_up(ledger):
    ledger.charge(GAUSSIAN, **KINDS)
    assert ask(ledger) == pytest.approx(ONE, rel=1e-9)
    ledger.charge(GAUSSIAN, **KINDS)
    assert ask(ledger) == pytest.approx(TWO, rel=1e-6)


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_a_count_is_so_many_releases(ledger, count):
    ledger.charge(GAUSSIAN, count=count, **KINDS)
    assert ask(ledger) == pytest.approx(get_epsilon_gaussian(1 / math.sqrt(count), DELTA), rel=1e-6)


def test_a_new_name_does_not_refresh_a_budget(ledger):
    ledger.charge(GAUSSIAN, **KINDS)
    ledger.charge(GAUSSIAN, **KINDS | {"dataset": "a, cleaned"})
    assert ask(ledger) == ask(ledger, dataset="a, cleaned") == pytest.approx(TWO, rel=1e-6)
    with pytest.raises(Exception, match="above the budget"):
        ledger.dataset("brand new").budget(TWO + 0.01, DELTA).reserve([claim()])


def test_names_that_were_declared_disjoint_are_counted_apart(ledger):
    account = ledger.datasets({0: "a", 1: "b"})
    account.reserve({0: [claim()], 1: [claim()]})
    account.reserve({1: [claim()]})
    assert ask(ledger) == pytest.approx(ONE, rel=1e-9)
    assert ask(ledger, dataset="b") == pytest.approx(TWO, rel=1e-6)


def test_two_declarations_do_not_make_their_names_disjoint(ledger):
    """a and b are apart, and so are c and d; a and c may be the same people."""
    ledger.datasets({0: "a", 1: "b"}).reserve({0: [claim()]})
    ledger.datasets({0: "c", 1: "d"}).reserve({0: [claim()]})
    assert ask(ledger) == pytest.approx(TWO, rel=1e-6)
    assert ask(ledger, dataset="c") == pytest.approx(TWO, rel=1e-6)


def test_declaring_the_same_names_again_writes_nothing(ledger):
    ledger.datasets({0: "a", 1: "b"})
    before = ledger.head
    ledger.datasets({0: "b", 1: "a"})
    assert ledger.head == before


def test_a_client_level_release_counts_towards_each_record(ledger):
    ledger.charge(GAUSSIAN, **KINDS)
    ledger.charge(GAUSSIAN, **KINDS | {"unit": "record"})
    assert ask(ledger, unit="record") == pytest.approx(TWO, rel=1e-6)


def test_a_record_level_release_gives_a_client_nothing_without_a_cap(ledger):
    ledger.charge(GAUSSIAN, **KINDS | {"unit": "record"})
    assert ask(ledger, unit="client") == math.inf


@pytest.mark.parametrize("records", [1, 2, 5])
def test_a_record_level_release_gives_a_client_group_privacy(ledger, records):
    account = ledger.dataset("a", max_records=records)
    account.reserve([claim(unit="record")])
    expected = get_epsilon_gaussian(1 / records, DELTA)
    assert ask(ledger, unit="client") == pytest.approx(expected, rel=1e-6)
    assert ask(ledger, unit="record") == pytest.approx(ONE, rel=1e-9)


def test_one_release_without_a_cap_takes_a_clients_guarantee_away(ledger):
    ledger.dataset("a", max_records=2).reserve([claim(unit="record")])
    assert ask(ledger, unit="client") < math.inf
    ledger.dataset("a").reserve([claim(unit="record")])
    assert ask(ledger, unit="client") == math.inf


def test_group_privacy_of_a_sampled_release_is_no_better_than_of_one_record(ledger):
    sampled = PoissonSampledDpEvent(0.01, GAUSSIAN)
    ledger.dataset("a", max_records=3).reserve([claim(sampled, unit="record", count=20)])
    record, client = ask(ledger, unit="record"), ask(ledger, unit="client")
    assert record < client <= get_epsilon_gaussian(1 / 3 / math.sqrt(20), DELTA) + 1e-6


def test_what_holds_against_the_server_holds_against_an_outsider(ledger):
    ledger.charge(GAUSSIAN, **KINDS | {"vantage": "server"})
    assert ask(ledger) == pytest.approx(ONE, rel=1e-9)


def test_what_holds_against_an_outsider_is_nothing_to_the_server(ledger):
    ledger.charge(GAUSSIAN, **KINDS)
    assert ask(ledger, vantage="server") == math.inf


def test_the_claims_of_one_release_stand_side_by_side(ledger):
    """One release, known sharper against an outsider: neither added to the other."""
    account = ledger.dataset("a")
    account.reserve([claim(vantage="server"), claim(GaussianDpEvent(2.0), vantage="outsider")])
    assert ask(ledger, vantage="server") == pytest.approx(ONE, rel=1e-9)
    assert ask(ledger) == pytest.approx(get_epsilon_gaussian(2.0, DELTA), rel=1e-6)


def test_record_and_client_claims_of_one_release_stand_side_by_side(ledger):
    account = ledger.dataset("a")
    account.reserve([claim(), claim(GaussianDpEvent(2.0), unit="record")])
    assert ask(ledger) == pytest.approx(ONE, rel=1e-9)
    assert ask(ledger, unit="record") == pytest.approx(get_epsilon_gaussian(2.0, DELTA), rel=1e-6)


def test_record_level_claims_of_two_clients_on_one_name_add_up(ledger):
    """Nobody said that the two hold different records."""
    ledger.dataset("a").reserve({0: [claim(unit="record")], 1: [claim(unit="record")]})
    assert ask(ledger, unit="record") == pytest.approx(TWO, rel=1e-6)


def test_a_client_level_claim_about_one_name_is_charged_once_a_release(ledger):
    ledger.dataset("a").reserve({0: [claim()], 1: [claim()], 2: [claim()]})
    assert ask(ledger) == pytest.approx(ONE, rel=1e-9)


def test_zero_out_is_turned_into_replace_one_by_halving(ledger):
    ledger.charge(GAUSSIAN, **KINDS)
    assert ask(ledger, relation="replace-one") == pytest.approx(HALF, rel=1e-6)
    native = NeighboringRelation.REPLACE_ONE
    assert ask(ledger, relation=native) == pytest.approx(HALF, rel=1e-6)


def test_mixed_relations_are_all_turned_into_the_stronger_one(ledger):
    ledger.charge(GAUSSIAN, **KINDS)
    ledger.charge(GAUSSIAN, **KINDS | {"relation": "replace-one"})
    both = get_epsilon_gaussian(1 / 2 / math.sqrt(2), DELTA)
    assert ask(ledger) == ask(ledger, relation="replace-one") == pytest.approx(both, rel=1e-6)


def test_zero_out_says_nothing_under_add_remove(ledger):
    ledger.charge(GAUSSIAN, **KINDS)
    with pytest.raises(ValueError, match="add/remove is answered by what was charged under it"):
        ask(ledger, relation="add/remove")


def test_add_remove_implies_zero_out(ledger):
    ledger.charge(GAUSSIAN, **KINDS | {"relation": NeighboringRelation.ADD_OR_REMOVE_ONE})
    assert ask(ledger, relation="add/remove") == ask(ledger) == pytest.approx(ONE, rel=1e-9)


def test_fixed_size_sampling_is_answered_under_replace_one(ledger):
    drawn = SampledWithoutReplacementDpEvent(10_000, 100, GAUSSIAN)
    ledger.charge(drawn, count=1000, **KINDS | {"relation": "replace-one"})
    assert ask(ledger, relation="replace-one") == pytest.approx(20.99, abs=0.02)  # errata, 25
    assert ask(ledger) == ask(ledger, relation="replace-one")


def test_an_undefended_release_is_for_good(ledger):
    ledger.charge(GAUSSIAN, **KINDS)
    ledger.dataset("a").reserve([])
    ledger.charge(GAUSSIAN, **KINDS)
    for question in ({}, {"unit": "record"}, {"vantage": "server"}, {"relation": "replace-one"}):
        assert ask(ledger, **question) == math.inf


@pytest.mark.parametrize("unit", ["client", "record"])
def test_a_seeded_release_protects_nothing(ledger, unit):
    ledger.dataset("a").reserve([claim(unit=unit)], seeded=True)
    assert ask(ledger, unit=unit) == math.inf


def test_charged_deltas_are_taken_off_the_one_that_is_asked(ledger):
    ledger.dataset("a").reserve([claim(delta=4e-6, count=2)])
    assert ask(ledger) == pytest.approx(get_epsilon_gaussian(1 / math.sqrt(2), 2e-6), rel=1e-6)
    ledger.dataset("a").reserve([claim(delta=4e-6)])
    with pytest.raises(ValueError, match="Ask at a larger delta"):
        ask(ledger)


def test_a_guarantee_that_is_void_is_void_whatever_was_charged_beside_it(ledger):
    ledger.dataset("a").reserve([claim(NonPrivateDpEvent()), claim()])
    assert ask(ledger) == math.inf


@pytest.mark.parametrize(
    "event",
    [
        ComposedDpEvent([GAUSSIAN, SelfComposedDpEvent(GAUSSIAN, 2)]),
        SelfComposedDpEvent(ComposedDpEvent([GAUSSIAN]), 3),
    ],
)
def test_composite_events_are_what_they_are_made_of(ledger, event):
    ledger.charge(event, **KINDS)
    expected = get_epsilon_gaussian(1 / math.sqrt(3), DELTA)
    assert ask(ledger) == pytest.approx(expected, rel=1e-6)


def test_laplace_and_gaussian_compose(ledger):
    ledger.charge(LaplaceDpEvent(10.0), **KINDS)
    ledger.charge(GAUSSIAN, **KINDS)
    assert ONE < ask(ledger) < ONE + 0.1 + 1e-3  # pure .1 on top, at most


@pytest.mark.parametrize(
    ("left_out", "others"),
    [
        ("unit", {"unit": "record"}),
        ("dataset", {"dataset": "b"}),
        ("vantage", {"vantage": "server"}),
        ("relation", {"relation": "replace-one"}),
    ],
)
def test_an_argument_is_left_out_only_where_there_is_one_value(ledger, left_out, others):
    ledger.charge(GAUSSIAN, **KINDS)
    assert ledger.epsilon(DELTA).upper == pytest.approx(ONE, rel=1e-9)
    ledger.charge(GAUSSIAN, **KINDS | others)
    question = {k: v for k, v in KINDS.items() if k != left_out}
    with pytest.raises(ValueError, match=f"{left_out}= may be left out where"):
        ledger.epsilon(DELTA, **question)


def test_a_dataset_that_was_never_charged_is_no_question(ledger):
    ledger.charge(GAUSSIAN, **KINDS)
    with pytest.raises(ValueError, match="dataset must be one of a"):
        ask(ledger, dataset="typo")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"unit": "person"}, "person"),
        ({"vantage": "everyone"}, "vantage must be"),
        ({"relation": "similar"}, "relation must be"),
        ({"dataset": " "}, "A dataset has a name"),
        ({"count": 0}, "count must be"),
        ({"event": "noise"}, "event"),
        ({"event": SampledWithoutReplacementDpEvent(10, 1, GAUSSIAN)}, "replace-one"),
    ],
)
def test_a_charge_that_means_nothing_is_not_written(ledger, wrong, message):
    arguments = {"event": GAUSSIAN} | KINDS | wrong
    with pytest.raises(ValueError, match=message):
        ledger.charge(arguments.pop("event"), **arguments)
    assert ledger.entries == ()


def test_a_hand_typed_charge_is_declared_and_a_reserved_one_witnessed(ledger):
    ledger.charge(GAUSSIAN, **KINDS)
    ledger.dataset("a").reserve([claim()], pipeline="Pipeline(…)")
    found = [(e.fields["provenance"], e.fields["pipeline"]) for e in ledger.entries]
    assert found == [("declared", ""), ("witnessed", "Pipeline(…)")]


@pytest.mark.parametrize("delta", [0.0, -1.0, math.nan, 1.0, "x", None])
def test_a_delta_that_is_none_is_refused(ledger, delta):
    with pytest.raises(ValueError, match="delta must be strictly between 0 and 1"):
        ledger.epsilon(delta)


def test_a_delta_of_one_over_the_number_of_units_is_refused(ledger):
    ledger.dataset("a").reserve([claim(n_units=100)])
    with pytest.raises(ValueError, match=r"delta must be below 1/100"):
        ledger.epsilon(0.01)


def test_an_empty_ledger_still_knows_the_words(ledger):
    with pytest.raises(ValueError, match="unit must be"):
        ledger.epsilon(DELTA, unit="person")


def test_a_hand_typed_charge_may_state_a_cap_on_records(ledger):
    ledger.charge(GaussianDpEvent(20.0), max_records=5, **KINDS | {"unit": "record"})
    expected = get_epsilon_gaussian(4.0, DELTA)
    assert ask(ledger, unit="client") == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("wrong", [[GAUSSIAN], GAUSSIAN, claim(), {0: [GAUSSIAN]}])
def test_what_is_no_charge_is_not_reserved(ledger, wrong):
    with pytest.raises(ValueError, match="reserve takes a list of Charges"):
        ledger.datasets({0: "a"}).reserve(wrong)
    assert ledger.entries == ()
