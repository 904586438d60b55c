"""Gaussians without sampling, against 120 digits and against published values."""

import dp_accounting
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld

from oracles.gaussian_dp import delta_of
from privfl.accounting import gaussian_epsilon


@pytest.mark.parametrize("delta", [0.3, 1e-2, 1e-5, 1e-9, 1e-15, 1e-60, 1e-300])
@pytest.mark.parametrize("count", [1, 100])
@pytest.mark.parametrize("noise_multiplier", [1e-3, 0.03, 0.5, 1.0, 7.0, 30.0, 1e3])
def test_epsilon_is_the_root_of_the_exact_profile(noise_multiplier, count, delta):
    epsilon = gaussian_epsilon(noise_multiplier, delta, count)
    # Half of 1e-10 is what an epsilon near zero may be off, absolutely.
    assert delta_of(epsilon * (1 + 1e-10) + 5e-11, noise_multiplier, count) <= delta
    if epsilon > 1e-10:
        assert delta_of(epsilon * (1 - 1e-10) - 5e-11, noise_multiplier, count) > delta
    else:
        assert delta_of(0.0, noise_multiplier, count) <= delta


@pytest.mark.parametrize(
    ("noise_multiplier", "delta", "count", "epsilon"),
    [
        (1.0, 1e-5, 1, 4.377178095681),
        (1.0, 1e-6, 1, 4.886554117462),
        (2**0.5, 4.0834087072816566e-4, 1, 2.25),
        (3**0.5, 0.12693673750664, 3, 1.0),
        (10.0, 1e-5, 100, 4.377178095681),
        (3.730631634816, 1e-5, 1, 1.0),
        (7.0318266756, 1e-5, 1, 0.5),
        (0.6002290722, 1e-5, 1, 8.0),
        (4.2246788893, 1e-6, 1, 1.0),
        (2.2304762712, 1e-6, 1, 2.0),
    ],
)
def test_known_values(noise_multiplier, delta, count, epsilon):
    assert gaussian_epsilon(noise_multiplier, delta, count) == pytest.approx(epsilon, rel=1e-9)


@pytest.mark.parametrize("noise_multiplier", [2.5, 12.0])
@pytest.mark.parametrize("delta", [1e-3, 1e-5, 1e-9])
def test_it_agrees_with_a_loss_distribution(noise_multiplier, delta):
    rounded_up = pld.from_gaussian_mechanism(noise_multiplier / 3).get_epsilon_for_delta(delta)
    epsilon = gaussian_epsilon(noise_multiplier, delta, count=9)
    assert epsilon - 1e-8 <= rounded_up <= epsilon + 1e-4


@pytest.mark.parametrize("noise_multiplier", [0.5, 1.0, 20.0])
def test_it_agrees_with_googles_closed_form(noise_multiplier):
    google = dp_accounting.get_epsilon_gaussian(noise_multiplier, 1e-7)
    assert gaussian_epsilon(noise_multiplier, 1e-7) == pytest.approx(google, rel=1e-9)


def test_so_much_noise_that_delta_covers_all_of_it_costs_nothing():
    assert gaussian_epsilon(1e3, delta=1e-3) == 0.0


@pytest.mark.parametrize("noise_multiplier", [1e-300, 1e300])
def test_absurd_noise_is_answered_at_once(noise_multiplier):
    assert gaussian_epsilon(noise_multiplier, delta=1e-5, count=10**6) >= 0.0


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, 2.0, float("nan"), "1e-5", None])
def test_a_delta_outside_zero_and_one_is_refused(delta):
    with pytest.raises(ValueError, match=r"delta must be strictly between 0 and 1"):
        gaussian_epsilon(1.0, delta)


@pytest.mark.parametrize("noise_multiplier", [0.0, -1.0, float("inf"), float("nan")])
def test_noise_that_is_none_is_refused(noise_multiplier):
    with pytest.raises(ValueError, match="noise_multiplier must be positive"):
        gaussian_epsilon(noise_multiplier, 1e-5)


@pytest.mark.parametrize("count", [-1, 1.5])
def test_a_count_that_counts_nothing_is_refused(count):
    with pytest.raises(ValueError, match="count must be a whole number"):
        gaussian_epsilon(1.0, 1e-5, count)
