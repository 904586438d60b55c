"""The noise an epsilon needs."""

import pytest
from dp_accounting import (
    ComposedDpEvent,
    GaussianDpEvent,
    LaplaceDpEvent,
    NonPrivateDpEvent,
    PoissonSampledDpEvent,
)
from dp_accounting.dp_event import RepeatAndSelectDpEvent

from oracles.gaussian_dp import delta_of
from privfl.accounting import calibrate, epsilon_of, gaussian_epsilon, noise_multiplier_for

CASES = [
    (epsilon, delta, count)
    for epsilon in (1e-6, 0.1, 1.0, 8.0, 1e3, 1e7)
    for delta in (0.4, 1e-5, 1e-12, 1e-300)
    for count in (1, 1000)
]


@pytest.mark.parametrize(("epsilon", "delta", "count"), CASES)
def test_the_result_is_enough_and_no_less_would_be(epsilon, delta, count):
    noise_multiplier = noise_multiplier_for(epsilon, delta, count)
    assert gaussian_epsilon(noise_multiplier, delta, count) <= epsilon
    assert gaussian_epsilon(noise_multiplier * (1 - 1e-9), delta, count) > epsilon


@pytest.mark.parametrize(("epsilon", "delta", "count"), CASES[4:20:3])
def test_the_result_is_enough_in_120_digits(epsilon, delta, count):
    noise_multiplier = noise_multiplier_for(epsilon, delta, count)
    assert delta_of(epsilon, noise_multiplier, count) <= delta * (1 + 1e-9)


@pytest.mark.parametrize(
    ("epsilon", "delta", "noise_multiplier"),
    [
        (1.0, 1e-5, 3.730631634816),
        (0.5, 1e-5, 7.0318266756),
        (8.0, 1e-5, 0.6002290722),
        (1.0, 1e-6, 4.2246788893),
        (2.0, 1e-6, 2.2304762712),
    ],
)
def test_values_of_the_analytic_gaussian_mechanism(epsilon, delta, noise_multiplier):
    assert noise_multiplier_for(epsilon, delta) == pytest.approx(noise_multiplier, rel=1e-9)


def test_it_does_not_follow_the_classical_formula():
    classical = 4.844805  # sqrt(2 ln(1.25 / delta)) / epsilon at (1, 1e-5)
    assert noise_multiplier_for(1.0, 1e-5) < 0.8 * classical


@pytest.mark.parametrize(
    ("epsilon", "delta", "count", "named"),
    [
        (0.0, 1e-5, 1, "epsilon"),
        (-1.0, 1e-5, 1, "epsilon"),
        (float("inf"), 1e-5, 1, "epsilon"),
        (1.0, 0.0, 1, "delta"),
        (1.0, 1.0, 1, "delta"),
        (1.0, 1e-5, 0, "count"),
    ],
)
def test_an_impossible_target_is_refused(epsilon, delta, count, named):
    with pytest.raises(ValueError, match=f"{named} must be"):
        noise_multiplier_for(epsilon, delta, count)


# Any event, by its accountant.


def poisson(rate):
    return lambda z: PoissonSampledDpEvent(rate, GaussianDpEvent(z))


SEARCHES = {
    "Poisson": (poisson(0.01), 2.0, 1e-5, "zero-out", 1000),
    "Poisson, replaced": (poisson(0.05), 4.0, 1e-6, "replace-one", 100),
    "Poisson, one step": (poisson(0.01), 1.0, 1e-5, "add/remove", 1),
    "Poisson, little epsilon": (poisson(0.2), 0.05, 1e-7, "zero-out", 10),
    "Gaussian": (GaussianDpEvent, 1.0, 1e-5, "zero-out", 10),
    "Laplace": (LaplaceDpEvent, 3.0, 1e-6, "replace-one", 5),
    "several": (
        lambda z: ComposedDpEvent([poisson(0.1)(z), GaussianDpEvent(3 * z)]),
        3.0,
        1e-5,
        "zero-out",
        20,
    ),
}


@pytest.mark.parametrize(
    ("event_of", "epsilon", "delta", "relation", "count"), SEARCHES.values(), ids=SEARCHES.keys()
)
def test_any_event_gets_enough_noise_and_little_more(event_of, epsilon, delta, relation, count):
    z = calibrate(event_of, epsilon, delta, relation, count)
    assert epsilon_of(event_of(z), delta, relation, count).upper <= epsilon
    assert epsilon_of(event_of(z / 1.0015), delta, relation, count).upper > epsilon


@pytest.mark.parametrize("relation", ["zero-out", "replace-one"])
def test_gaussians_get_what_the_closed_form_gives(relation):
    exact = noise_multiplier_for(2.0, 1e-6, 7) * (2 if relation == "replace-one" else 1)
    found = calibrate(GaussianDpEvent, 2.0, 1e-6, relation, 7)
    assert exact * (1 - 1e-9) <= found <= exact * 1.001


def test_a_search_is_calibrated_by_renyi_alone():
    def event_of(z):
        return RepeatAndSelectDpEvent(poisson(0.01)(z), 10.0, 1.0)

    z = calibrate(event_of, 6.0, 1e-5)
    assert 5.9 < epsilon_of(event_of(z), 1e-5).upper <= 6.0


def test_where_next_to_no_noise_is_enough_the_least_is_returned():
    z = calibrate(poisson(1e-9), 1.0, 1e-3)
    assert z == 1e-3


def test_few_evaluations_are_enough():
    asked = []

    def event_of(z):
        asked.append(z)
        return poisson(0.02)(z)

    calibrate(event_of, 3.0, 1e-5, count=500)
    assert len(asked) <= 25


@pytest.mark.parametrize("epsilon", [0.0, -1.0, 101.0, float("nan"), float("inf")])
def test_a_target_that_means_nothing_is_refused(epsilon):
    with pytest.raises(ValueError, match="epsilon must be"):
        calibrate(GaussianDpEvent, epsilon, 1e-5)


def test_a_target_out_of_reach_is_refused_with_what_to_do():
    with pytest.raises(ValueError, match="Release less often"):
        calibrate(GaussianDpEvent, 1e-6, 1e-12, count=10**6)
    with pytest.raises(ValueError, match="Release less often"):
        calibrate(lambda z: NonPrivateDpEvent(), 1.0, 1e-5)
