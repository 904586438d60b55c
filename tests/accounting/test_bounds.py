"""What each method says by itself, and the lower ends."""

import math

import pytest
from dp_accounting import (
    ComposedDpEvent,
    GaussianDpEvent,
    LaplaceDpEvent,
    NonPrivateDpEvent,
    NoOpDpEvent,
    PoissonSampledDpEvent,
    SampledWithoutReplacementDpEvent,
)
from dp_accounting.dp_event import RepeatAndSelectDpEvent

from oracles.sampled_gaussian import epsilon_of_one_release
from privfl.accounting import bounds_of, epsilon_of, gaussian_epsilon

STEP = PoissonSampledDpEvent(0.01, GaussianDpEvent(1.0))
MNIST = PoissonSampledDpEvent(256 / 60000, GaussianDpEvent(1.1))


@pytest.mark.parametrize(
    ("event", "relation", "methods"),
    [
        (GaussianDpEvent(1.0), "zero-out", {"PLD", "RDP", "closed form"}),
        (STEP, "add/remove", {"PLD", "RDP", "closed form"}),
        (STEP, "replace-one", {"PLD", "closed form"}),
        (LaplaceDpEvent(1.0), "zero-out", {"PLD", "RDP"}),
        (
            SampledWithoutReplacementDpEvent(100, 1, GaussianDpEvent(1.0)),
            "replace-one",
            {"RDP", "closed form"},
        ),
        (RepeatAndSelectDpEvent(STEP, 5.0, 1.0), "zero-out", {"RDP"}),
        (ComposedDpEvent([STEP, LaplaceDpEvent(1.0)]), "zero-out", {"PLD", "RDP"}),
        (GaussianDpEvent(1e-3), "zero-out", {"RDP", "closed form"}),
        (NonPrivateDpEvent(), "zero-out", {"non-private"}),
        (ComposedDpEvent([NoOpDpEvent()]), "zero-out", {"closed form"}),
        (
            RepeatAndSelectDpEvent(STEP, 5.0, 1.0),
            "replace-one",
            {"PLD", "RDP", "closed form"},  # none is finite, and then all of them say so
        ),
    ],
)
def test_the_methods_that_apply_are_there(event, relation, methods):
    bounds = bounds_of(event, 1e-5, relation, 3)
    assert set(bounds) == methods
    assert all(interval.method == method for method, interval in bounds.items())


@pytest.mark.parametrize("event", [STEP, GaussianDpEvent(3.0), LaplaceDpEvent(0.5)])
def test_epsilon_is_the_least_of_them(event):
    bounds = bounds_of(event, 1e-6, count=20)
    least = epsilon_of(event, 1e-6, count=20)
    assert least.upper <= min(interval.upper for interval in bounds.values())
    assert bounds[least.method] == least


def test_sampling_is_left_out_of_the_closed_form():
    closed = bounds_of(STEP, 1e-5, "replace-one", 7)["closed form"].upper
    assert closed == pytest.approx(gaussian_epsilon(0.5, 1e-5, 7), rel=1e-12)


def test_a_search_is_not_bounded_by_one_of_its_trials():
    search = RepeatAndSelectDpEvent(GaussianDpEvent(2.0), 20.0, 1.0)
    assert epsilon_of(search, 1e-5).upper > 2 * gaussian_epsilon(2.0, 1e-5)


# Lower ends.


def test_the_lower_end_of_dp_sgd_is_close():
    found = epsilon_of(MNIST, 1e-5, count=14062, lower=True)
    assert 2.31 < found.lower < 2.3817 < found.upper + 1e-4
    assert found.upper - found.lower < 0.01


@pytest.mark.parametrize("relation", ["zero-out", "replace-one"])
@pytest.mark.parametrize(("rate", "z", "delta"), [(0.02, 0.8, 1e-5), (0.6, 2.0, 1e-3)])
def test_one_release_lies_between_the_ends(rate, z, delta, relation):
    event = PoissonSampledDpEvent(rate, GaussianDpEvent(z))
    found = epsilon_of(event, delta, relation, lower=True)
    exact = epsilon_of_one_release(rate, z, delta, relation)
    assert found.lower - 1e-6 <= exact <= found.upper + 1e-6
    assert found.upper - found.lower <= 2e-4


def test_gaussians_have_both_ends_in_one():
    found = epsilon_of(ComposedDpEvent([GaussianDpEvent(2.0)] * 4), 1e-5, lower=True)
    assert found.lower == found.upper
    exact = bounds_of(GaussianDpEvent(1.0), 1e-5, lower=True)["closed form"]
    assert exact.lower == exact.upper == found.upper
    assert bounds_of(STEP, 1e-5, lower=True)["closed form"].lower is None


@pytest.mark.parametrize(
    ("event", "relation"),
    [
        (SampledWithoutReplacementDpEvent(100, 1, GaussianDpEvent(1.0)), "replace-one"),
        (RepeatAndSelectDpEvent(STEP, 5.0, 1.0), "zero-out"),
        (ComposedDpEvent([STEP, RepeatAndSelectDpEvent(STEP, 5.0, 0.0)]), "zero-out"),
        (NonPrivateDpEvent(), "zero-out"),
    ],
)
def test_what_has_no_dominating_pair_has_no_lower_end(event, relation):
    assert epsilon_of(event, 1e-5, relation, lower=True).lower is None


def test_no_lower_end_is_looked_for_unasked():
    assert epsilon_of(STEP, 1e-5).lower is None
    assert all(interval.lower is None for interval in bounds_of(STEP, 1e-5).values())


# Searches.


@pytest.mark.parametrize("shape", [0.0, 0.5, 1.0, math.inf])
def test_a_search_of_more_trials_costs_more(shape):
    costs = [
        epsilon_of(RepeatAndSelectDpEvent(STEP, mean, shape), 1e-5, count=4).upper
        for mean in (1.0, 3.0, 100.0)
    ]
    assert epsilon_of(STEP, 1e-5, count=4).upper < costs[0] < costs[1] < costs[2]


def test_a_search_costs_what_the_theorem_says_for_a_flat_curve():
    """Papernot & Steinke 2021, theorem 2, at geometric trials of a Gaussian, order by order."""
    z, mean, delta = 3.0, 8.0, 1e-5
    orders = [1 + x / 10.0 for x in range(1, 100)] + [*range(11, 64), 128, 256, 512, 1024]
    other = min((1 - 1 / a) * a / (2 * z**2) + math.log(mean) / a for a in orders)
    curve = {a: a / (2 * z**2) + 2 * other + math.log(mean) / (a - 1) for a in orders}
    expected = min(curve[a] + math.log1p(-1 / a) - math.log(delta * a) / (a - 1) for a in orders)
    found = epsilon_of(RepeatAndSelectDpEvent(GaussianDpEvent(z), mean, 1.0), delta).upper
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_search_under_replace_one_halves_the_noise_inside():
    halved = RepeatAndSelectDpEvent(GaussianDpEvent(2.0), 8.0, 1.0)
    event = RepeatAndSelectDpEvent(ComposedDpEvent([GaussianDpEvent(4.0)]), 8.0, 1.0)
    replaced = epsilon_of(event, 1e-5, "replace-one").upper
    assert replaced == pytest.approx(epsilon_of(halved, 1e-5).upper, rel=1e-12)


@pytest.mark.parametrize(("mean", "shape"), [(0.5, 1.0), (math.nan, 1.0), (5.0, -1.0)])
def test_an_impossible_number_of_trials_is_refused(mean, shape):
    with pytest.raises(ValueError, match=r"(mean|shape) must be .* Found"):
        epsilon_of(RepeatAndSelectDpEvent(STEP, mean, shape), 1e-5)


def test_a_search_of_nothing_and_one_of_something_not_private():
    assert epsilon_of(RepeatAndSelectDpEvent(ComposedDpEvent([]), 5.0, 1.0), 1e-5).upper == 0.0
    naked = RepeatAndSelectDpEvent(NonPrivateDpEvent(), 5.0, 1.0)
    assert epsilon_of(naked, 1e-5).upper == math.inf


@pytest.mark.parametrize("relation", ["zero-out", "add/remove"])
def test_inside_a_search_a_theorem_still_needs_its_relation(relation):
    fixed = SampledWithoutReplacementDpEvent(100, 10, GaussianDpEvent(1.0))
    with pytest.raises(ValueError, match="Ask for relation='replace-one'"):
        epsilon_of(RepeatAndSelectDpEvent(fixed, 5.0, 1.0), 1e-5, relation)
