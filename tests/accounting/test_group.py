"""Several units that change together."""

import math

import pytest
from dp_accounting import (
    ComposedDpEvent,
    GaussianDpEvent,
    LaplaceDpEvent,
    NonPrivateDpEvent,
    PoissonSampledDpEvent,
    RandomizedResponseDpEvent,
    SampledWithoutReplacementDpEvent,
)
from dp_accounting.dp_event import RepeatAndSelectDpEvent
from hypothesis import given
from hypothesis import strategies as st

from oracles.gaussian_dp import delta_of
from oracles.sampled_gaussian import delta_of_group
from privfl.accounting import epsilon_of, gaussian_epsilon, group_epsilon_of

STEP = PoissonSampledDpEvent(0.01, GaussianDpEvent(2.0))
FIXED = SampledWithoutReplacementDpEvent(500, 5, GaussianDpEvent(4.0))
EVENTS = {
    "Gaussian": (GaussianDpEvent(9.0), "zero-out", 3),
    "Poisson": (STEP, "zero-out", 50),
    "Poisson, add or remove": (STEP, "add/remove", 50),
    "Poisson, replaced": (STEP, "replace-one", 50),
    "fixed size": (FIXED, "replace-one", 3),
    "Laplace": (LaplaceDpEvent(9.0), "zero-out", 3),
    "answers": (RandomizedResponseDpEvent(0.9, 4), "replace-one", 2),
    "search": (RepeatAndSelectDpEvent(GaussianDpEvent(30.0), 3.0, 1.0), "zero-out", 1),
    "several": (ComposedDpEvent([STEP, GaussianDpEvent(20.0), STEP]), "zero-out", 5),
}
every_event = pytest.mark.parametrize(
    ("event", "relation", "count"), EVENTS.values(), ids=EVENTS.keys()
)


def upper(event, size, delta=1e-6, relation="zero-out", count=1):
    return group_epsilon_of(event, size, delta, relation, count).upper


@every_event
def test_a_group_of_one_is_a_unit(event, relation, count):
    alone = epsilon_of(event, 1e-6, relation, count)
    assert group_epsilon_of(event, 1, 1e-6, relation, count) == alone


@every_event
def test_a_larger_group_costs_more(event, relation, count):
    costs = [upper(event, size, 1e-6, relation, count) for size in (1, 2, 3, 8)]
    assert costs == sorted(costs)
    assert costs[0] < costs[1]


@given(st.floats(0.05, 1e3), st.integers(1, 10**6), st.floats(-12, -1), st.integers(1, 100))
def test_gaussians_have_so_many_times_the_distance(z, size, exponent, count):
    delta = 10**exponent
    exact = gaussian_epsilon(z / size, delta, count)
    assert upper(GaussianDpEvent(z), size, delta, count=count) == pytest.approx(exact, rel=1e-9)
    replaced = gaussian_epsilon(z / size / 2, delta, count)
    found = upper(GaussianDpEvent(z), size, delta, "replace-one", count)
    assert found == pytest.approx(replaced, rel=1e-9)


@pytest.mark.parametrize("size", [2, 5])
def test_gaussians_in_120_digits(size):
    epsilon = upper(GaussianDpEvent(7.0), size)
    exact = float(delta_of(epsilon, 7.0 / size, 1))
    assert exact == pytest.approx(1e-6, rel=1e-6)


@pytest.mark.parametrize(
    ("rate", "z", "size"), [(0.1, 1.5, 2), (0.02, 3.0, 6), (0.4, 4.0, 10), (0.01, 1.0, 3)]
)
@pytest.mark.parametrize("delta", [1e-3, 1e-6])
def test_a_sampled_group_follows_the_definition(rate, z, size, delta):
    found = group_epsilon_of(PoissonSampledDpEvent(rate, GaussianDpEvent(z)), size, delta)
    assert delta_of_group(found.upper, rate, z, size) <= delta * (1 + 1e-6)
    if found.upper > 0:
        assert found.method == "PLD"
        assert delta_of_group(max(0, found.upper - 2e-3), rate, z, size) >= delta


def test_what_is_not_sampled_beside_a_sample_has_so_many_times_the_distance():
    event = ComposedDpEvent(
        [PoissonSampledDpEvent(1e-9, GaussianDpEvent(50.0)), GaussianDpEvent(9.0)]
    )
    exact = gaussian_epsilon(3.0, 1e-6)
    assert exact <= upper(event, 3) <= exact + 1e-3


def test_a_laplace_group_has_so_many_times_the_distance():
    assert upper(LaplaceDpEvent(4.0), 4, 1e-3) == pytest.approx(1 + 2 * math.log1p(-1e-3), abs=1e-4)


def test_step_after_step_is_the_lemma():
    """Answers have no pair for a group: pure epsilon times the size is a bound, and near."""
    answer = RandomizedResponseDpEvent(0.5, 2)
    found = group_epsilon_of(answer, 3, 1e-9, "replace-one")
    assert found.method == "steps"
    assert found.upper == pytest.approx(3 * math.log(3), abs=1e-3)


def test_step_after_step_leaves_each_its_share_of_delta():
    """Sampled and replaced: asked at all of delta for each step, it would be too small."""
    found = group_epsilon_of(STEP, 3, 1e-6, "replace-one", 1000)
    assert found.method == "steps"
    step = found.upper / 3
    share = 1e-6 * math.expm1(step) / math.expm1(found.upper)
    assert epsilon_of(STEP, share, "replace-one", 1000).upper <= step
    assert epsilon_of(STEP, 1e-6, "replace-one", 1000).upper < 0.95 * step


@pytest.mark.parametrize("size", [2, 64, 65, 10**6])
@every_event
def test_sampling_does_not_cost_and_no_size_hangs(event, relation, count, size):
    found = upper(event, size, 1e-6, relation, count)
    if event is STEP:
        shrink = 2 if relation == "replace-one" else 1
        plain = gaussian_epsilon(2.0 / size / shrink, 1e-6, count)
        assert found <= plain * (1 + 1e-12)
    assert found > 0


def test_what_is_not_private_is_not_private_for_a_group():
    assert upper(NonPrivateDpEvent(), 3) == math.inf


@pytest.mark.parametrize("size", [0, -1, 1.5])
def test_a_group_of_no_units_is_refused(size):
    with pytest.raises(ValueError, match="size must be a whole number of at least 1"):
        group_epsilon_of(STEP, size, 1e-5)
