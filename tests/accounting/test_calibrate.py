"""The noise an epsilon needs."""

import pytest

from oracles.gaussian_dp import delta_of
from privfl.accounting import gaussian_epsilon, noise_multiplier_for

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
