"""From events to bounds."""

import logging
import math

import dp_accounting
import pytest
from dp_accounting import (
    ComposedDpEvent,
    GaussianDpEvent,
    LaplaceDpEvent,
    NonPrivateDpEvent,
    NoOpDpEvent,
    PoissonSampledDpEvent,
    RandomizedResponseDpEvent,
    SampledWithoutReplacementDpEvent,
    SampledWithReplacementDpEvent,
    SelfComposedDpEvent,
    UnsupportedDpEvent,
)

from oracles.sampled_gaussian import epsilon_of_one_release
from privfl.accounting import epsilon_of, gaussian_epsilon
from privfl.core import Relation

Z = GaussianDpEvent
NOISES = [1e-3, 0.01, 0.05, 0.1, 0.5, 2.0, 50.0, 1e3]


def poisson(rate, z):
    return PoissonSampledDpEvent(rate, GaussianDpEvent(z))


def fixed_size(total, size, z):
    return SampledWithoutReplacementDpEvent(total, size, GaussianDpEvent(z))


def upper(event, delta=1e-5, relation="zero-out", count=1):
    return epsilon_of(event, delta, relation, count).upper


# Gaussians without sampling.


@pytest.mark.parametrize(
    "event",
    [
        ComposedDpEvent([Z(3.0), Z(4.0)]),
        ComposedDpEvent([Z(4.0), NoOpDpEvent(), SelfComposedDpEvent(Z(3.0), 1)]),
        SelfComposedDpEvent(ComposedDpEvent([Z(6.0), Z(8.0)]), 4),
    ],
)
def test_squared_precisions_of_gaussians_add(event):
    interval = epsilon_of(event, 1e-5)
    assert interval.method == "closed form"
    assert interval.lower is None
    assert interval.upper == pytest.approx(gaussian_epsilon(2.4, 1e-5), rel=1e-12)


def test_replace_one_costs_what_half_the_multiplier_costs():
    assert upper(Z(1.0), relation="replace-one") == pytest.approx(9.9972, abs=1e-3)
    assert upper(Z(1.0), relation="replace-one", count=10) == pytest.approx(46.2112, abs=1e-3)
    assert upper(Z(1.0), relation="add/remove") == upper(Z(1.0))


@pytest.mark.parametrize(
    ("native", "relation"),
    [
        (dp_accounting.NeighboringRelation.REPLACE_SPECIAL, Relation.ZERO_OUT),
        (dp_accounting.NeighboringRelation.REPLACE_ONE, Relation.REPLACE_ONE),
        (dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE, Relation.ADD_REMOVE),
    ],
)
def test_googles_words_for_the_relations_are_understood(native, relation):
    assert epsilon_of(Z(1.0), 1e-5, native) == epsilon_of(Z(1.0), 1e-5, relation)


@pytest.mark.parametrize("event", [NoOpDpEvent(), ComposedDpEvent([]), poisson(0.0, 1.0)])
def test_what_releases_nothing_costs_nothing(event):
    assert upper(event) == 0.0
    assert upper(Z(1.0), count=0) == 0.0
    assert upper(SelfComposedDpEvent(NonPrivateDpEvent(), 0)) == 0.0


@pytest.mark.parametrize(
    "event",
    [
        NonPrivateDpEvent(),
        ComposedDpEvent([Z(1.0), NonPrivateDpEvent()]),
        Z(0.0),
        poisson(0.1, 0.0),
        LaplaceDpEvent(0.0),
        RandomizedResponseDpEvent(0.0, 2),
        PoissonSampledDpEvent(0.1, NonPrivateDpEvent()),
    ],
)
def test_what_has_no_noise_is_infinite(event):
    interval = epsilon_of(event, 1e-5)
    assert interval.upper == math.inf
    assert str(interval) == "no meaningful guarantee (above 100)"


# Poisson sampling.


@pytest.mark.parametrize("relation", ["zero-out", "add/remove", "replace-one"])
@pytest.mark.parametrize(
    ("rate", "z", "delta"),
    [(0.01, 1.0, 1e-5), (0.5, 2.0, 1e-6), (0.9, 1.5, 1e-3)],
)
def test_one_poisson_sampled_release_follows_its_definition(rate, z, delta, relation):
    exact = epsilon_of_one_release(rate, z, delta, relation)
    assert exact - 1e-6 <= upper(poisson(rate, z), delta, relation) <= exact + 2e-4


@pytest.mark.parametrize(
    ("rate", "z", "count", "delta", "pld"),
    [
        (0.01, 0.7, 120, 1e-5, 2.4612381),
        (0.01, 1.0, 1000, 1e-5, 1.8282),
    ],
)
def test_published_losses_of_dp_sgd(rate, z, count, delta, pld):
    interval = epsilon_of(poisson(rate, z), delta, count=count)
    assert interval.method == "PLD"
    assert interval.upper == pytest.approx(pld, abs=3e-4)


def test_the_least_noise_for_one_sampled_query():
    assert 0.6 < upper(poisson(0.01, 0.67379294682)) <= 1.0 + 1e-9  # Renyi's; the loss is below


def test_delta_at_epsilon_one_of_three_steps():
    assert upper(poisson(0.2, 0.5), delta=0.155932776, count=3) == pytest.approx(1.0, abs=1e-4)


def test_poisson_sampling_under_replace_one_has_a_loss_distribution():
    interval = epsilon_of(poisson(0.01, 1.0), 1e-5, "replace-one", 1000)
    assert interval.method == "PLD"
    assert interval.upper == pytest.approx(2.8434, abs=2e-4)


@pytest.mark.parametrize(("z", "count", "epsilon"), [(10, 100, 4.377178), (50, 1000, 2.594383)])
def test_a_sample_of_everybody_is_no_sample(z, count, epsilon):
    assert upper(poisson(1.0, z), count=count) == pytest.approx(epsilon, abs=1e-6)
    whole = fixed_size(500, 500, float(2 * z))
    assert upper(whole, relation="replace-one", count=count) == pytest.approx(epsilon, abs=1e-6)


@pytest.mark.parametrize("z", [1, 1.0])
def test_several_gaussians_on_one_sample_are_one_of_their_joint_noise(z):
    loop = PoissonSampledDpEvent(0.1, SelfComposedDpEvent(Z(z), 16))
    listed = PoissonSampledDpEvent(0.1, ComposedDpEvent([Z(z)] * 16))
    assert upper(loop) == upper(listed) == upper(poisson(0.1, 0.25))


# Fixed-size sampling.


def test_fixed_size_sampling_halves_the_multiplier():
    interval = epsilon_of(fixed_size(10_000, 100, 1.0), 1e-5, "replace-one", 1000)
    assert interval.method == "RDP"
    assert interval.upper == pytest.approx(20.99, abs=0.01)
    doubled = epsilon_of(fixed_size(10_000, 100, 2.0), 1e-5, "replace-one", 1000)
    assert doubled.upper == pytest.approx(3.5761, abs=1e-4)


@pytest.mark.parametrize(("size", "z"), [(1, 1.0), (10, 2.0), (50, 1.0), (90, 4.0)])
def test_one_fixed_size_release_is_above_the_exact_value(size, z):
    """Balle et al. 2018 (https://arxiv.org/abs/1807.01647), theorem 10, which is attained."""
    rate, base = size / 100, gaussian_epsilon(z / 2, 1e-5 / (size / 100))
    exact = math.log1p(rate * math.expm1(base))
    assert upper(fixed_size(100, size, z), relation="replace-one") >= exact


@pytest.mark.parametrize("relation", ["zero-out", "add/remove"])
def test_fixed_size_sampling_is_refused_under_other_relations(relation):
    with pytest.raises(ValueError, match="Ask for relation='replace-one'"):
        epsilon_of(fixed_size(100, 10, 1.0), 1e-5, relation)


# Laplace noise and randomised response.


@pytest.mark.parametrize(("b", "delta"), [(0.5, 0.527633447259), (1.0, 0.221199216929)])
def test_laplace_noise_at_epsilon_one_half(b, delta):
    assert upper(LaplaceDpEvent(b), delta) == pytest.approx(0.5, abs=2e-4)
    assert upper(LaplaceDpEvent(2 * b), delta, "replace-one") == pytest.approx(0.5, abs=2e-4)


def test_ten_laplace_releases():
    assert upper(LaplaceDpEvent(0.5), delta=1e-6, count=10) == pytest.approx(19.999, abs=2e-3)


def test_randomised_response_counts_every_answer():
    answer = RandomizedResponseDpEvent(0.5, 2)
    hundred = upper(answer, relation="replace-one", count=100)
    assert hundred == pytest.approx(90.79, abs=0.05)
    assert upper(answer, relation="replace-one") == pytest.approx(math.log(3), abs=2e-4)
    ten = [upper(answer, count=n) for n in (1, 10)]
    assert ten[1] > 2 * ten[0]


def test_randomised_response_is_refused_under_add_remove():
    with pytest.raises(ValueError, match="Ask for relation='replace-one or zero-out'"):
        epsilon_of(RandomizedResponseDpEvent(0.5, 2), 1e-5, "add/remove")


def test_randomised_response_that_ignores_its_input_costs_nothing():
    assert upper(RandomizedResponseDpEvent(1.0, 4)) == 0.0
    assert upper(RandomizedResponseDpEvent(0.0, 1)) == 0.0


# Refusals.


class Later(GaussianDpEvent):
    """A subclass, which may mean anything."""


@pytest.mark.parametrize(
    "event",
    [
        UnsupportedDpEvent(),
        SampledWithReplacementDpEvent(100, 10, Z(1.0)),
        ComposedDpEvent([Z(1.0), UnsupportedDpEvent()]),
        PoissonSampledDpEvent(0.1, UnsupportedDpEvent()),
        Later(1.0),
        "GaussianDpEvent(1.0)",
        None,
    ],
)
def test_an_event_of_another_kind_is_refused_with_what_to_do(event):
    with pytest.raises(ValueError, match="or as NonPrivateDpEvent"):
        epsilon_of(event, 1e-5)


@pytest.mark.parametrize("inner", [LaplaceDpEvent(1.0), poisson(0.5, 1.0)])
def test_sampling_of_what_is_not_gaussian_is_refused(inner):
    with pytest.raises(ValueError, match="Leave the sampling out"):
        epsilon_of(PoissonSampledDpEvent(0.1, inner), 1e-5)


@pytest.mark.parametrize(
    "event",
    [
        Z(-1.0),
        Z(float("nan")),
        poisson(1.1, 1.0),
        poisson(-0.1, 1.0),
        poisson(float("nan"), 1.0),
        fixed_size(10, 11, 1.0),
        fixed_size(0, 0, 1.0),
        RandomizedResponseDpEvent(1.5, 2),
        RandomizedResponseDpEvent(0.5, 0),
        SelfComposedDpEvent(Z(1.0), -1),
    ],
)
def test_impossible_parameters_are_refused(event):
    with pytest.raises(ValueError, match=r"must .* Found"):
        epsilon_of(event, 1e-5, "replace-one")


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, float("nan")])
@pytest.mark.parametrize("event", [Z(1.0), NonPrivateDpEvent(), poisson(0.1, 1.0)])
def test_delta_outside_zero_and_one_is_refused(event, delta):
    with pytest.raises(ValueError, match="delta must be strictly between 0 and 1"):
        epsilon_of(event, delta)


def test_an_unknown_relation_is_refused():
    with pytest.raises(ValueError, match="relation must be one of"):
        epsilon_of(Z(1.0), 1e-5, "neighbours")


# Extremes.


@pytest.mark.parametrize(
    ("event", "relation", "count"),
    [
        (Z, "zero-out", 10),
        (lambda z: poisson(0.01, z), "zero-out", 1000),
        (lambda z: poisson(0.01, z), "replace-one", 1000),
        (lambda z: poisson(0.9, z), "add/remove", 1),
        (lambda z: fixed_size(10_000, 100, z), "replace-one", 1000),
        (lambda z: ComposedDpEvent([Z(z), poisson(0.1, z), LaplaceDpEvent(z)]), "zero-out", 3),
    ],
)
def test_any_noise_is_answered_and_less_noise_costs_more(event, relation, count):
    costs = [upper(event(z), relation=relation, count=count) for z in NOISES]
    assert all(math.isfinite(cost) for cost in costs)
    assert costs == sorted(costs, reverse=True)


def test_little_noise_has_no_meaningful_guarantee_and_keeps_its_figure():
    interval = epsilon_of(poisson(0.01, 0.05), 1e-5, count=10)
    assert str(interval) == "no meaningful guarantee (above 100)"
    assert 100 < interval.upper < gaussian_epsilon(0.05, 1e-5, 10)


@pytest.mark.parametrize(("z", "rate"), [(1e3, 1e-9), (1e3, 0.01), (1e5, 1e-6)])
def test_a_delta_that_does_not_cover_everything_never_costs_nothing(z, rate):
    """Renyi divergences round to below zero here, which an accountant reads as epsilon 0."""
    assert upper(poisson(rate, z), delta=1e-30) > 0


@pytest.mark.parametrize("delta", [1e-10, 1e-13])
def test_rounding_in_a_long_composition_stays_on_the_safe_side(delta):
    """1000 unsampled steps, forced through the loss distribution, against the closed form."""
    nearly_all = PoissonSampledDpEvent(1 - 1e-12, Z(10.0))
    assert upper(nearly_all, delta, count=1000) >= gaussian_epsilon(10.0, delta, 1000) - 1e-6


def test_orders_that_do_not_converge_are_left_out_in_silence(caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        epsilon_of(poisson(0.2, 0.3), 1e-5, count=10_000)
    assert not caplog.records
