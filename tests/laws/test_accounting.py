"""What every bound on epsilon must do."""

import math
import warnings

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
from dp_accounting.dp_event import RepeatAndSelectDpEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from privfl.accounting import bounds_of, epsilon_of, gaussian_epsilon

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
    "search": (RepeatAndSelectDpEvent(GaussianDpEvent(4.0), 5.0, 1.0), "zero-out"),
    "search, replaced": (RepeatAndSelectDpEvent(GaussianDpEvent(8.0), 5.0, 0.0), "replace-one"),
    "Poisson search": (
        RepeatAndSelectDpEvent(
            SelfComposedDpEvent(PoissonSampledDpEvent(0.02, GaussianDpEvent(2.0)), 10),
            5.0,
            math.inf,
        ),
        "zero-out",
    ),
    "several on one sample": (
        PoissonSampledDpEvent(0.05, ComposedDpEvent([GaussianDpEvent(2.0), GaussianDpEvent(3.0)])),
        "zero-out",
    ),
    "several": (
        ComposedDpEvent(
            [
                SelfComposedDpEvent(PoissonSampledDpEvent(0.01, GaussianDpEvent(1.5)), 3),
                GaussianDpEvent(20.0),
                LaplaceDpEvent(30.0),
            ]
        ),
        "zero-out",
    ),
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


# Every event, composed in every way.


def releases(depth=2):
    """Events of every supported kind, and compositions of them."""
    z = st.sampled_from([0.8, 2.0, 5.0])
    gaussian = z.map(GaussianDpEvent)
    rate = st.sampled_from([0.01, 0.2])
    trials = st.sampled_from([(3.0, 0.0), (3.0, 1.0), (5.0, math.inf)])
    leaf = st.one_of(
        gaussian,
        z.map(LaplaceDpEvent),
        st.builds(PoissonSampledDpEvent, rate, gaussian),
        st.builds(lambda inner, t: RepeatAndSelectDpEvent(inner, *t), gaussian, trials),
    )
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.builds(SelfComposedDpEvent, inner, st.integers(1, 4)),
            st.lists(inner, min_size=1, max_size=3).map(ComposedDpEvent),
        ),
        max_leaves=4,
    )


@settings(max_examples=25)
@given(releases(), st.integers(1, 5))
def test_a_composition_costs_the_same_however_it_is_written(event, n):
    ways = [
        epsilon_of(event, 1e-5, count=n),
        epsilon_of(SelfComposedDpEvent(event, n), 1e-5),
        epsilon_of(ComposedDpEvent([event] * n), 1e-5),
        epsilon_of(ComposedDpEvent([event, SelfComposedDpEvent(event, n - 1)]), 1e-5),
    ]
    assert len(set(ways)) == 1


@settings(max_examples=25)
@given(releases(), releases())
def test_two_releases_cost_more_than_either_and_no_more_than_their_sum(one, other):
    """Basic composition: (e1, d/2) and (e2, d/2) together are (e1 + e2, d)."""
    together = epsilon_of(ComposedDpEvent([one, other]), 1e-5).upper
    alone = [epsilon_of(event, 1e-5).upper for event in (one, other)]
    assert together >= max(alone) - 1e-4  # half a digit of a grid
    if "RepeatAndSelect" not in repr((one, other)):  # else Renyi's bound, which has no such law
        assert together <= sum(epsilon_of(e, 5e-6).upper for e in (one, other)) + 1e-3


# Accountants side by side.


@pytest.mark.parametrize(
    ("rate", "z", "count", "delta"),
    [
        (256 / 60000, 1.1, 14062, 1e-5),
        (0.01, 1.0, 200, 1e-5),
        (0.05, 2.0, 1000, 1e-6),
        (0.001, 0.6, 500, 1e-6),
        (0.3, 4.0, 50, 1e-4),
    ],
)
def test_opacus_agrees_within_its_own_error(rate, z, count, delta):
    """Its PRV accountant returns the upper end of a band of twice eps_error (Gopi et al. 2021)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what opacus says while it is imported
        from opacus.accountants import PRVAccountant
    accountant = PRVAccountant()
    accountant.history = [(z, rate, count)]
    above = accountant.get_epsilon(delta, eps_error=0.01)
    event = PoissonSampledDpEvent(rate, GaussianDpEvent(z))
    found = bounds_of(event, delta, count=count, lower=True)
    assert above - 0.0201 <= found["PLD"].upper
    assert found["PLD"].lower <= above
    assert found["PLD"].upper <= min(found["RDP"].upper, found["closed form"].upper) + 1e-6


@pytest.mark.parametrize("relation", ["zero-out", "replace-one", "add/remove"])
@pytest.mark.parametrize(("z", "count"), [(1.0, 1), (30.0, 500)])
def test_methods_agree_on_gaussians(z, count, relation):
    bounds = bounds_of(GaussianDpEvent(z), 1e-6, relation, count)
    exact = gaussian_epsilon(z / 2 if relation == "replace-one" else z, 1e-6, count)
    assert bounds["closed form"].upper == pytest.approx(exact, rel=1e-12)
    assert exact - 1e-12 <= bounds["PLD"].upper <= exact + 1e-5
    assert exact <= bounds["RDP"].upper <= 1.12 * exact


@pytest.mark.parametrize("relation", ["zero-out", "replace-one", "add/remove"])
def test_more_noise_and_a_larger_delta_cost_less_and_more_steps_more(relation):
    def cost(z, delta, count):
        event = PoissonSampledDpEvent(0.02, GaussianDpEvent(z))
        return epsilon_of(event, delta, relation, count).upper

    for costs in (
        [cost(z, 1e-5, 50) for z in (0.5, 0.8, 1.0, 2.0, 9.0)],
        [cost(1.0, delta, 50) for delta in (1e-9, 1e-7, 1e-5, 1e-3)],
        [cost(1.0, 1e-5, count) for count in (3000, 400, 50, 2, 1)],
    ):
        assert costs == sorted(costs, reverse=True)
        assert len(set(costs)) == len(costs)
