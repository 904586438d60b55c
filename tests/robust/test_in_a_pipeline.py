"""Robust rules as parts: their preconditions, their noise and what explain says of them."""

import math

import pytest
import torch

from privfl import CompositionError, Pipeline, PlanError, ProtocolAbort
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.robust import NNM, Krum, TrimmedMean

UPDATES = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "rule", [TrimmedMean(n_byzantine=2), Krum(n_byzantine=2), NNM(Krum(n_byzantine=2))], ids=repr
)
def test_a_pipeline_gives_what_the_rule_gives(rule):
    assert torch.equal(Pipeline(rule).aggregate(UPDATES).update, rule(UPDATES))


def test_too_few_clients_are_refused_before_anybody_trains():
    with pytest.raises(PlanError, match="needs at least 7 rows"):
        Pipeline(Krum(n_byzantine=2)).plan(n_clients=6, dim=5)


def test_a_row_with_nan_lowers_n_and_not_the_attackers():
    """Rule R17: seven rows are just enough for Krum with two attackers, six are not."""
    updates = UPDATES.clone()
    updates[3, 0] = math.nan
    made = Pipeline(TrimmedMean(n_byzantine=2)).aggregate(updates).update
    assert torch.equal(made, TrimmedMean(n_byzantine=2)(updates[[0, 1, 2, 4, 5, 6]]))
    with pytest.raises(ProtocolAbort, match="needs at least 7 rows, and 6 are left"):
        Pipeline(Krum(n_byzantine=2)).aggregate(updates)


@pytest.mark.parametrize(
    ("rule", "sensitivity"),
    [
        (TrimmedMean(n_byzantine=2), 1 / 6),
        (Krum(n_byzantine=2), 2.0),
        (NNM(Krum(n_byzantine=2)), 2.0),
        (NNM(TrimmedMean(n_byzantine=2)), 2 * math.sqrt(10 / 6)),
    ],
    ids=repr,
)
def test_central_noise_takes_the_rule_s_own_sensitivity(rule, sensitivity):
    shield = Pipeline(Clip(0.5), rule, CentralGaussianNoise(3.0))
    assert shield.plan(n_clients=10, dim=5).release_std == pytest.approx(1.5 * sensitivity)


@pytest.mark.parametrize(
    "rule", [TrimmedMean(n_byzantine=1), NNM(TrimmedMean(n_byzantine=1))], ids=repr
)
def test_central_noise_under_add_remove_is_refused_where_n_would_be_private(rule):
    with pytest.raises(CompositionError, match="R2"):
        Pipeline(Clip(1.0), rule, CentralGaussianNoise(1.0, relation="add/remove"))


def test_explain_says_what_local_noise_costs_in_robustness():
    shield = Pipeline(Clip(1.0), LocalGaussianNoise(0.5), TrimmedMean(n_byzantine=1))
    text = " ".join(str(shield.explain(n_clients=5, dim=100)).split())
    assert "sqrt(2.67 (G^2 + 25)) from the honest mean" in text
