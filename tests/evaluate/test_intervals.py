"""Each end of an interval is on the wrong side at most once in 40 times."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from oracles.mean_bounds import upper_end, wilson
from privfl.evaluate._intervals import Estimate, difference, mean_interval, paired_t

shares = st.lists(st.integers(0, 10).map(lambda k: k / 10), min_size=1, max_size=12)
limits = st.tuples(*[st.floats(0, 1)] * 3).map(sorted).map(lambda e: Estimate(e[1], e[0], e[2]))


@pytest.mark.parametrize("n", [1, 2, 3, 16, 36, 64, 320])
def test_for_zeros_and_ones_it_is_clopper_and_pearsons(n):
    for k in sorted({0, 1, n // 3, n - 1, n}):
        found = mean_interval(torch.arange(n) < k)
        exact = stats.binomtest(k, n).proportion_ci(method="exact")
        assert (found.lower, found.upper) == pytest.approx((exact.low, exact.high), abs=1e-8)


@pytest.mark.parametrize("n", [2, 5, 8, 20])
def test_for_shares_it_is_the_quantile_of_weighted_means(n):
    """400,000 draws: the quantile's standard error is below .001."""
    values = np.random.default_rng(n).integers(0, 11, n) / 10
    found = mean_interval(torch.from_numpy(values))
    assert found.upper == pytest.approx(upper_end(values), abs=0.004)
    assert found.lower == pytest.approx(1 - upper_end(1 - values), abs=0.004)


@given(shares)
def test_it_is_symmetric_holds_the_mean_and_stays_within_zero_and_one(values):
    x = torch.tensor(values, dtype=torch.float64)
    found, mirrored = mean_interval(x), mean_interval(1 - x)
    assert 0 <= found.lower <= found.value + 1e-12
    assert found.value <= found.upper + 1e-12 <= 1 + 1e-12
    assert (1 - mirrored.upper, 1 - mirrored.lower) == pytest.approx((found.lower, found.upper))


@given(shares, st.integers(0, 11))
def test_a_greater_value_never_lowers_an_end(values, place):
    x = torch.tensor(values, dtype=torch.float64)
    y = x.clone()
    y[place % len(x)] = 1.0
    assert mean_interval(x).lower <= mean_interval(y).lower + 1e-9
    assert mean_interval(x).upper <= mean_interval(y).upper + 1e-9


@pytest.mark.parametrize(("n", "upper"), [(4, 0.602), (16, 0.206), (36, 0.097), (40, 0.088)])
def test_zero_of_n_keeps_its_width(n, upper):
    """Published values of .975 limits at zero successes; a t interval would say zero."""
    assert mean_interval(torch.zeros(n)).upper == pytest.approx(upper, abs=5e-4)


def cohorts(kind, mean, n, runs, rng):
    """Shares of cohorts of ten that vary as ``kind`` says, with the given mean."""
    if kind == "alike":
        chance = np.full((runs, n), mean)
    elif kind == "all or nothing":
        chance = (rng.random((runs, n)) < mean).astype(float)
    elif kind == "some leak half":
        chance = 0.5 * (rng.random((runs, n)) < 2 * mean)
    else:
        chance = rng.beta(2 * mean, 2 * (1 - mean), (runs, n))
    return rng.binomial(10, chance) / 10


@pytest.mark.parametrize("mean", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("kind", ["alike", "all or nothing", "some leak half", "spread"])
def test_each_end_covers_however_cohorts_vary(kind, mean):
    """At 2.5 % a side, more than 21 misses of 400 come up in one run of 1,000, a side and case."""
    rng = np.random.default_rng(5)
    for n in (4, 8):
        found = [mean_interval(torch.from_numpy(x)) for x in cohorts(kind, mean, n, 400, rng)]
        assert sum(e.lower > mean for e in found) <= 21
        assert sum(e.upper < mean for e in found) <= 21


@pytest.mark.parametrize(
    "values", [torch.zeros(0), torch.tensor([1.1]), torch.tensor([math.nan]), torch.zeros(2, 2)]
)
def test_values_outside_are_refused(values):
    with pytest.raises(ValueError, match="values must be"):
        mean_interval(values)


def test_differences_are_newcombes():
    """His first example, 56/70 against 48/80, method 10: .0524 to .3339."""
    first = Estimate(56 / 70, *wilson(56, 70))
    second = Estimate(48 / 80, *wilson(48, 80))
    found = difference(first, second)
    assert (found.lower, found.upper) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@given(limits, limits)
def test_a_difference_is_no_surer_than_its_parts_and_turns_with_them(first, second):
    found, turned = difference(first, second), difference(second, first)
    assert (turned.lower, turned.upper) == pytest.approx((-found.upper, -found.lower))
    width = max(first.upper - first.lower, second.upper - second.lower)
    assert found.upper - found.lower >= width - 1e-9
    assert found.lower >= first.lower - second.upper - 1e-9


def test_the_paired_interval_is_that_of_the_paired_t_test():
    first, second = torch.tensor([0.91, 0.88, 0.93, 0.90]), torch.tensor([0.8, 0.85, 0.79, 0.9])
    found = paired_t(first, second)
    test = stats.ttest_rel(first.double(), second.double()).confidence_interval(0.95)
    assert (found.lower, found.upper) == pytest.approx((test.low, test.high))


def test_one_pair_says_nothing():
    found = paired_t(torch.tensor([0.9]), torch.tensor([0.1]))
    assert (found.lower, found.upper) == (-math.inf, math.inf)


def test_an_accuracy_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="finite"):
        paired_t(torch.tensor([0.9, 0.9]), torch.tensor([0.1, math.nan]))
