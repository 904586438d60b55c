"""What every bound on epsilon must do."""

import pytest
from dp_accounting import (
    ComposedDpEvent,
    GaussianDpEvent,
    LaplaceDpEvent,
    PoissonSampledDpEvent,
    RandomizedResponseDpEvent,
    SampledWithoutReplacementDpEvent,
    SelfComposedDpEvent,
)
from hypothesis import given
from hypothesis import strategies as st

from privfl.accounting import epsilon_of, gaussian_epsilon

noises = st.floats(1e-3, 1e3)
deltas = st.floats(-300, -0.4).map(lambda exponent: 10**exponent)
counts = st.integers(1, 10**6)

EVENTS = {
    "Gaussian": (GaussianDpEvent(1.3), "zero-out"),
    "Gaussian, replaced": (GaussianDpEvent(2.6), "replace-one"),
    "Poisson": (PoissonSampledDpEvent(0.02, GaussianDpEvent(1.0)), "zero-out"),
    "Poisson, add or remove": (PoissonSampledDpEvent(0.02, GaussianDpEvent(1.0)), "add/remove"),
    "Poisson, replaced": (PoissonSampledDpEvent(0.02, GaussianDpEvent(1.0)), "replace-one"),
    "fixed size": (SampledWithoutReplacementDpEvent(500, 5, GaussianDpEvent(3.0)), "replace-one"),
    "Laplace": (LaplaceDpEvent(3.0), "zero-out"),
    "Laplace, replaced": (LaplaceDpEvent(6.0), "replace-one"),
    "randomised response": (RandomizedResponseDpEvent(0.7, 3), "zero-out"),
    "randomised response, replaced": (RandomizedResponseDpEvent(0.7, 3), "replace-one"),
}
every_event = pytest.mark.parametrize(("event", "relation"), EVENTS.values(), ids=EVENTS.keys())


@given(noises, noises, deltas, counts)
def test_a_gaussian_with_more_noise_costs_no_more(one, other, delta, count):
    less, more = sorted((one, other))
    assert gaussian_epsilon(more, delta, count) <= gaussian_epsilon(less, delta, count) * (1 + 1e-9)


@given(noises, deltas, deltas, counts)
def test_a_gaussian_at_a_larger_delta_costs_no_more(z, one, other, count):
    small, large = sorted((one, other))
    assert gaussian_epsilon(z, large, count) <= gaussian_epsilon(z, small, count)


@given(noises, deltas, counts, counts)
def test_more_gaussians_cost_no_less(z, delta, count, more):
    several = gaussian_epsilon(z, delta, count + more)
    assert several >= gaussian_epsilon(z, delta, count) * (1 - 1e-9)


@given(noises, deltas, counts)
def test_a_count_is_one_gaussian_of_the_joint_noise(z, delta, count):
    together = gaussian_epsilon(z, delta, count)
    assert together == pytest.approx(gaussian_epsilon(z / count**0.5, delta), rel=1e-9, abs=1e-12)


@given(st.lists(noises, min_size=1, max_size=6), deltas)
@pytest.mark.parametrize("relation", ["zero-out", "add/remove"])
def test_a_replaced_unit_is_two_zeroed_ones_apart(relation, all_z, delta):
    halved = ComposedDpEvent([GaussianDpEvent(z / 2) for z in all_z])
    event = ComposedDpEvent([GaussianDpEvent(z) for z in all_z])
    replaced = epsilon_of(event, delta, "replace-one")
    assert replaced.upper == pytest.approx(epsilon_of(halved, delta, relation).upper, rel=1e-9)


@every_event
@pytest.mark.parametrize("n", [2, 17])
def test_a_count_a_loop_and_a_list_cost_the_same(event, relation, n):
    counted = epsilon_of(event, 1e-5, relation, count=n)
    listed = epsilon_of(ComposedDpEvent([event] * n), 1e-5, relation)
    nested = epsilon_of(SelfComposedDpEvent(ComposedDpEvent([event]), n), 1e-5, relation)
    assert counted == listed == nested


@every_event
def test_every_further_release_costs_more(event, relation):
    costs = [epsilon_of(event, 1e-5, relation, count=n).upper for n in (1, 2, 100)]
    assert costs == sorted(costs)
    assert costs[1] > costs[0]


@every_event
def test_a_larger_delta_costs_less(event, relation):
    deltas = (1e-300, 1e-14, 1e-10, 1e-5, 0.5)
    costs = [epsilon_of(event, delta, relation, count=30).upper for delta in deltas]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[-1]


@pytest.mark.parametrize("name", [name for name in EVENTS if "replaced" in name])
def test_replacing_costs_more_than_zeroing(name):
    event, _ = EVENTS[name]
    zeroed, replaced = (
        epsilon_of(event, 1e-5, relation, 5).upper for relation in ("zero-out", "replace-one")
    )
    assert replaced > zeroed


@every_event
def test_order_does_not_matter_and_together_costs_more_than_alone(event, relation):
    other = LaplaceDpEvent(5.0)
    one = epsilon_of(ComposedDpEvent([event, other, event]), 1e-5, relation).upper
    two = epsilon_of(ComposedDpEvent([other, SelfComposedDpEvent(event, 2)]), 1e-5, relation).upper
    assert one == pytest.approx(two, abs=1e-9)
    assert one > max(epsilon_of(e, 1e-5, relation).upper for e in (event, other))


@pytest.mark.parametrize("rate", [0.01, 0.99])
@pytest.mark.parametrize("z", [1e-3, 1.0, 30.0])
def test_sampling_never_costs_more_than_leaving_it_out(z, rate):
    everything = GaussianDpEvent(z)
    poisson = PoissonSampledDpEvent(rate, everything)
    fixed = SampledWithoutReplacementDpEvent(100, round(100 * rate), everything)
    zeroed = epsilon_of(everything, 1e-5, "zero-out", 500).upper * (1 + 1e-12)
    replaced = epsilon_of(everything, 1e-5, "replace-one", 500).upper * (1 + 1e-12)
    assert epsilon_of(poisson, 1e-5, "zero-out", 500).upper <= zeroed
    assert epsilon_of(poisson, 1e-5, "replace-one", 500).upper <= replaced
    assert epsilon_of(fixed, 1e-5, "replace-one", 500).upper <= replaced
