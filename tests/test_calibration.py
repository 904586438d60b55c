"""How much noise a budget needs: the least that fits, for every claim that is asked about."""

import math

import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, get_sigma_gaussian

from privfl import Budget, CompositionError, Pipeline
from privfl.accounting import epsilon_of
from privfl.defenses.dp import AdaptiveClip, CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.parts import Mean
from privfl.sampling import FixedSize, Poisson

BUDGET = Budget(epsilon=8, delta=1e-5)
CENTRAL = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.0))
LOCAL = Pipeline(Clip(1.0), LocalGaussianNoise(1.0))
ONE = get_sigma_gaussian(8, 1e-5)  # of dp-accounting, for one release


@pytest.mark.parametrize("rounds", [1, 10, 100])
def test_central_noise_is_the_analytic_calibration(rounds):
    z = CENTRAL.noise_for(BUDGET, n_clients=100, rounds=rounds)
    assert z == pytest.approx(ONE * math.sqrt(rounds), rel=2e-3)
    assert epsilon_of(GaussianDpEvent(z), 1e-5, count=rounds).upper <= 8


def test_it_does_not_depend_on_the_multiplier_that_was_written():
    loud = Pipeline(Clip(3.0), Mean(), CentralGaussianNoise(77.0))
    found = [p.noise_for(BUDGET, n_clients=10, rounds=5) for p in (CENTRAL, loud)]
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_local_noise_is_accounted_at_twice_the_clip_norm():
    z = LOCAL.noise_for(BUDGET, n_clients=100, rounds=10)
    assert z == pytest.approx(2 * ONE * math.sqrt(10), rel=2e-3)


def test_replace_one_needs_no_other_noise_over_its_own_distance():
    """The multiplier is over the sensitivity, which replace-one doubles."""
    shield = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.0, relation="replace-one"))
    z = shield.noise_for(BUDGET, n_clients=100, rounds=10)
    assert z == pytest.approx(ONE * math.sqrt(10), rel=2e-3)


def test_sampling_the_clients_saves_noise_against_an_outsider():
    z = CENTRAL.noise_for(BUDGET, n_clients=1000, rounds=100, sampling=Poisson(rate=0.01))
    event = PoissonSampledDpEvent(0.01, GaussianDpEvent(z))
    assert 7.9 < epsilon_of(event, 1e-5, count=100).upper <= 8
    assert z < ONE


@pytest.mark.parametrize(
    ("shield", "sampling"),
    [(LOCAL, Poisson(rate=0.01)), (CENTRAL, FixedSize(size=10))],
    ids=["local noise: the server learns the cohort", "no theorem under zero-out"],
)
def test_sampling_saves_nothing_where_nothing_is_hidden(shield, sampling):
    plain = shield.noise_for(BUDGET, n_clients=1000, rounds=10)
    assert shield.noise_for(BUDGET, n_clients=1000, rounds=10, sampling=sampling) == plain


def test_an_adaptive_clips_bit_is_within_the_same_noise():
    shield = Pipeline(AdaptiveClip(), Mean(), CentralGaussianNoise(1.0))
    z = shield.noise_for(BUDGET, n_clients=100, rounds=10)
    assert z == pytest.approx(ONE * math.sqrt(10), rel=2e-3)


def test_a_pipeline_with_that_noise_keeps_the_budget():
    z = CENTRAL.noise_for(BUDGET, n_clients=50, rounds=30)
    shield = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(z))
    (guarantee,) = shield.explain(n_clients=50, dim=10, rounds=30, delta=1e-5).guarantees
    assert 7.9 < guarantee.epsilon <= 8


def test_explain_says_what_sampling_gains_and_against_whom():
    plain = CENTRAL.explain(n_clients=1000, dim=10, rounds=50)
    drawn = CENTRAL.explain(n_clients=1000, dim=10, rounds=50, sampling=Poisson(rate=0.1))
    event = PoissonSampledDpEvent(0.1, GaussianDpEvent(1.0))
    expected = epsilon_of(event, 1e-5, count=50).upper
    assert drawn.guarantees[0].epsilon == pytest.approx(expected, rel=1e-6)
    assert plain.guarantees[0].epsilon > 3 * expected
    assert "outsider" in str(drawn) or "only the release" in str(drawn)


@pytest.mark.parametrize("pipeline", [Pipeline(Clip(1.0)), Pipeline()])
def test_a_pipeline_without_noise_is_refused(pipeline):
    with pytest.raises(CompositionError) as refusal:
        pipeline.noise_for(BUDGET, n_clients=10, rounds=1)
    assert "CentralGaussianNoise" in refusal.value.fix


def test_two_noises_are_refused():
    both = Pipeline(
        Clip(1.0),
        LocalGaussianNoise(1.0),
        Mean(),
        CentralGaussianNoise(1.0),
        accepting={"local_and_central_noise"},
    )
    with pytest.raises(CompositionError, match="2 noises"):
        both.noise_for(BUDGET, n_clients=10, rounds=1)


@pytest.mark.parametrize("asked", [{"unit": "record"}, {"vantage": "server"}])
def test_a_budget_about_something_that_is_not_claimed_is_refused(asked):
    with pytest.raises(ValueError, match="a claim that"):
        CENTRAL.noise_for(Budget(8, 1e-5, **asked), n_clients=10, rounds=1)


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"n_clients": 0}])
def test_bad_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        CENTRAL.noise_for(BUDGET, **({"n_clients": 10, "rounds": 1} | wrong))
