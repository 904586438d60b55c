"""The robustness that the rules state, against a search and against what no rule can beat."""

import math

import pytest
import torch

from oracles.robustness import worst_ratio
from privfl.core import Cohort, Contract, Plan
from privfl.defenses.robust import NNM, Krum, Mean, TrimmedMean

RULES = [
    *[(TrimmedMean(n_byzantine=f), n) for n, f in [(3, 1), (5, 1), (5, 2), (7, 2)]],
    *[(Krum(n_byzantine=f), n) for n, f in [(5, 1), (6, 1), (7, 2)]],
    *[(NNM(TrimmedMean(n_byzantine=f)), n) for n, f in [(5, 1), (7, 2)]],
    *[(NNM(Krum(n_byzantine=f)), n) for n, f in [(5, 1), (7, 2)]],
]


def ratio(rule, updates):
    return worst_ratio(updates.tolist(), rule(updates).tolist(), rule.n_byzantine)


def witness(n, f):
    """No rule can tell n - f rows at 0 from those that attack, and f at 1 from honest ones."""
    updates = torch.zeros(n, 1, dtype=torch.float64)
    updates[:f] = 1
    return updates


def candidates(rule, n):
    """Rows where few values repeat are the bad ones; then rows a little beside the worst."""
    generator = torch.Generator().manual_seed(n)
    yield witness(n, rule.n_byzantine)
    for _ in range(60):
        values = torch.tensor([0.0, 0.0, 1.0, 1.3, 2.0, -1.0, 50.0]).double()
        d = int(torch.randint(1, 3, (), generator=generator))
        yield values[torch.randint(7, (n, d), generator=generator)]
    for _ in range(40):
        yield torch.randn(n, 2, generator=generator).double()


@pytest.mark.parametrize(("rule", "n"), RULES, ids=repr)
def test_the_worst_found_is_between_what_must_be_and_what_is_stated(rule, n):
    f = rule.n_byzantine
    least = f / (n - 2 * f)
    worst = max(ratio(rule, updates) for updates in candidates(rule, n))
    assert worst >= least * (1 - 1e-9)  # below: the search or the ratio is broken
    assert worst <= rule.kappa(n)


@pytest.mark.parametrize(("n", "f"), [(5, 1), (7, 2), (9, 2), (9, 4), (12, 1)])
def test_the_witness_forces_the_lower_bound_on_a_trimmed_mean(n, f):
    rule = TrimmedMean(n_byzantine=f)
    assert ratio(rule, witness(n, f)) == pytest.approx(f / (n - 2 * f))


@pytest.mark.parametrize(
    ("rule", "n", "published"),
    # Allouah et al. 2023; the last is 8f/(n-f) (kappa + 1) with the third
    [
        (TrimmedMean(n_byzantine=1), 5, 2.67),
        (TrimmedMean(n_byzantine=2), 7, 6.67),
        (TrimmedMean(n_byzantine=4), 9, 120),
        (TrimmedMean(n_byzantine=1), 12, 0.66),
        (NNM(TrimmedMean(n_byzantine=4)), 9, 774),
    ],
)
def test_kappa_is_the_published_one(rule, n, published):
    assert rule.kappa(n) == pytest.approx(published, rel=5e-3)


@pytest.mark.parametrize(("n", "f"), [(5, 1), (7, 2), (9, 2), (20, 4), (100, 30)])
def test_krum_s_kappa_is_near_that_of_its_variant(n, f):
    """With n - f neighbours 6 (1 + f/(n-2f)) is known; here there are two fewer, and one a row."""
    kappa, variant = Krum(n_byzantine=f).kappa(n), 6 * (1 + f / (n - 2 * f))
    assert variant * 0.9 < kappa < variant * (n - 2 * f) / (n - 2 * f - 1)


def test_the_mean_has_no_kappa():
    updates = witness(5, 1)
    for far in (1e3, 1e6):
        updates[0] = far
        honest = updates[1:]
        made = Mean()(updates)
        assert float((made - honest.mean(dim=0)).abs()) == pytest.approx(far / 5)
        assert float(honest.var(correction=0)) == 0


def test_what_a_rule_promises_is_told_with_the_noise_that_counts_as_spread():
    """Rule R10: d sigma^2 joins the honest variance, and kappa multiplies both."""
    rule = TrimmedMean(n_byzantine=1)
    plan = Plan.first(Cohort.of(5), 100)
    assert "sqrt(2.67 G^2)" in rule.describe(plan, Contract())
    noisy = rule.describe(plan.but(row_std=0.5), Contract())
    assert "sqrt(2.67 (G^2 + 25))" in noisy
    assert "R10" in noisy


def test_zero_over_zero_is_zero_and_else_infinite():
    assert worst_ratio([[1.0], [1.0], [1.0]], [1.0], 1) == 0
    assert worst_ratio([[1.0], [1.0], [1.0]], [2.0], 1) == math.inf
