"""A verdict says no more than its interval, and errs no more often than it says."""

from functools import cache

import numpy as np
import pytest
import torch
from scipy import stats

from privfl.evaluate._intervals import Estimate, difference, mean_interval
from privfl.evaluate._verdict import (
    Control,
    Verdict,
    poisoning_verdict,
    reconstruction_verdict,
    victim_verdict,
)

LEAKING = Control(Estimate(1.0, 0.7, 1.0), budget=300)


def decide(lower, upper, *, budget=300, control=LEAKING, certified=False):
    gain = Estimate((lower + upper) / 2, lower, upper)
    return reconstruction_verdict(gain, budget=budget, control=control, certified=certified)


@pytest.mark.parametrize(
    ("lower", "upper", "verdict"),
    [
        (0.11, 0.9, Verdict.LEAK),
        (0.1, 0.9, Verdict.INCONCLUSIVE),
        (-0.1, 0.09, Verdict.NO_EVIDENCE),
        (-0.1, 0.1, Verdict.INCONCLUSIVE),
        (-0.1, 0.4, Verdict.INCONCLUSIVE),
    ],
)
def test_the_ends_against_the_margin_decide(lower, upper, verdict):
    assert decide(lower, upper) is verdict


@pytest.mark.parametrize(
    ("control", "budget"),
    [
        (None, 300),
        (Control(Estimate(1.0, 0.1, 1.0), budget=300), 300),
        (Control(Estimate(0.0, -0.1, 0.09), budget=300), 300),
        (LEAKING, 299),
    ],
    ids=["no control", "a control that is no leak", "a control that fails", "less budget"],
)
def test_no_evidence_needs_an_attack_that_works_elsewhere_at_no_more_budget(control, budget):
    assert decide(-0.1, 0.05, control=control, budget=budget) is Verdict.INCONCLUSIVE


def test_a_certificate_counts_where_there_is_a_leak():
    assert decide(0.5, 1.0, certified=True) is Verdict.CERTIFIED_EXACT
    assert decide(0.0, 1.0, certified=True) is Verdict.INCONCLUSIVE


def test_a_leak_needs_no_control():
    assert decide(0.5, 1.0, control=None, budget=1) is Verdict.LEAK


@pytest.mark.parametrize(("n", "verdict"), [(35, Verdict.INCONCLUSIVE), (36, Verdict.NO_EVIDENCE)])
def test_nobody_identified_is_evidence_from_36_victims_on(n, verdict):
    gain = difference(mean_interval(torch.zeros(n)), mean_interval(torch.zeros(20 * n)))
    assert reconstruction_verdict(gain, budget=300, control=LEAKING) is verdict


@pytest.mark.parametrize("identified", [True, False, None])
@pytest.mark.parametrize("among", [50, 100, 1000])
def test_a_single_victim_leaks_if_picked_out_of_a_hundred(identified, among):
    leaks = identified is True and among >= 100
    assert victim_verdict(identified, among=among) is (
        Verdict.LEAK if leaks else Verdict.INCONCLUSIVE
    )
    assert victim_verdict(identified, among=among, certified=True) is (
        Verdict.CERTIFIED_EXACT if leaks else Verdict.INCONCLUSIVE
    )


@cache
def of_victims(hits, n):
    return mean_interval(torch.arange(n) < hits)


def chances(n, n_null, null):
    """The chance of either verdict at a gain of exactly .1, summed over all outcomes."""
    leak = none = 0.0
    first = stats.binom.pmf(range(n + 1), n, null + 0.1)
    second = stats.binom.pmf(range(n_null + 1), n_null, null)
    for hits in range(n + 1):
        for others in np.flatnonzero(second > 1e-9):
            gain = difference(of_victims(hits, n), of_victims(int(others), n_null))
            weight = first[hits] * second[others]
            leak += weight * (decide_gain(gain) is Verdict.LEAK)
            none += weight * (decide_gain(gain) is Verdict.NO_EVIDENCE)
    return leak, none


def decide_gain(gain):
    return reconstruction_verdict(gain, budget=300, control=LEAKING)


@pytest.mark.parametrize("n", [16, 24, 36, 48, 64])
@pytest.mark.parametrize("null", [0.0, 0.01, 0.05, 0.2])
def test_at_a_gain_of_exactly_the_margin_each_verdict_errs_at_most_once_in_40(n, null):
    """Not simulated but summed, for one null a victim; at most 25 of 1,000 each."""
    leak, none = chances(n, n, null)
    assert leak <= 0.025
    assert none <= 0.025


def verdicts(hits, nulls):
    counted = [
        decide_gain(
            difference(mean_interval(torch.from_numpy(h)), mean_interval(torch.from_numpy(m)))
        )
        for h, m in zip(hits, nulls, strict=True)
    ]
    return counted.count(Verdict.LEAK), counted.count(Verdict.NO_EVIDENCE)


@pytest.mark.parametrize("n", [16, 36, 64])
def test_of_1000_simulated_duels_at_the_margin_at_most_42_err(n):
    """Single victims, ten nulls each at chance; 42 is the 99.9 % point where 25 are expected."""
    rng = np.random.default_rng(n)
    leak = none = 0
    for hits, others in zip(
        rng.binomial(n, 0.11, 1000), rng.binomial(10 * n, 0.01, 1000), strict=True
    ):
        verdict = decide_gain(difference(of_victims(int(hits), n), of_victims(int(others), 10 * n)))
        leak += verdict is Verdict.LEAK
        none += verdict is Verdict.NO_EVIDENCE
    assert leak <= 42
    assert none <= 42


def cohorts(rng, mean, spread, shape):
    """Shares of ten images; at a spread near 1 a cohort is found, or missed, as a whole."""
    a = (1 - spread) / spread
    return rng.binomial(10, rng.beta(mean * a, (1 - mean) * a, shape)) / 10


@pytest.mark.parametrize(
    ("n", "null", "spread"),
    [(8, 0.05, 0.01), (8, 0.05, 0.3), (8, 0.3, 0.99), (40, 0.05, 0.99)],
)
def test_of_1000_simulated_duels_of_cohorts_at_the_margin_at_most_42_err(n, null, spread):
    """The cohort is the unit: images of one sum are found, or missed, together."""
    rng = np.random.default_rng(1)
    hits = cohorts(rng, null + 0.1, spread, (1000, n))
    nulls = cohorts(rng, null, 0.02, (1000, 2 * n))
    leak, none = verdicts(hits, nulls)
    assert leak <= 42
    assert none <= 42


def seeds(*values):
    return torch.tensor(values)


@pytest.mark.parametrize(
    ("twin", "attacked", "settings", "verdict"),
    [
        (seeds(0.90, 0.89, 0.91), seeds(0.10, 0.12, 0.09), {}, Verdict.HARMED),
        (seeds(0.90, 0.89, 0.91), seeds(0.89, 0.88, 0.90), {}, Verdict.INCONCLUSIVE),
        (seeds(0.90, 0.89, 0.91), seeds(0.89, 0.88, 0.90), {"harmed_another": True}, Verdict.HELD),
        (
            seeds(0.90, 0.89, 0.91),
            seeds(0.80, 0.89, 0.84),
            {"harmed_another": True},
            "INCONCLUSIVE",
        ),
        (seeds(0.90, 0.89), seeds(0.10, 0.11), {}, Verdict.INCONCLUSIVE),
        (seeds(0.90), seeds(0.10), {}, Verdict.INCONCLUSIVE),
        (seeds(0.9, 0.9, 0.9), seeds(0.1, 0.1, 0.1), {"silent": True}, Verdict.INCONCLUSIVE),
        (
            seeds(0.9, 0.9, 0.9),
            seeds(0.9, 0.9, 0.9),
            {"silent": True, "harmed_another": True},
            "INCONCLUSIVE",
        ),
    ],
)
def test_poisoning_is_decided_by_paired_losses_over_three_seeds(twin, attacked, settings, verdict):
    assert poisoning_verdict(twin, attacked, **settings) == verdict


def test_a_pipeline_that_wins_under_attack_is_not_harmed():
    """The direction of the difference: twin less attacked."""
    low, high = seeds(0.1, 0.12, 0.09), seeds(0.90, 0.89, 0.91)
    assert poisoning_verdict(low, high, harmed_another=True) is Verdict.HELD


def test_seeds_are_paired():
    """Losses of exactly .1 in each seed, whatever the seeds differ by."""
    twin = seeds(0.9, 0.6, 0.3)
    assert poisoning_verdict(twin, twin - seeds(0.10, 0.101, 0.099)) is Verdict.HARMED
