"""Noise says in its name where it belongs; what is charged is what was added."""

import math

import pytest
import torch

from oracles.gaussian_dp import delta_of
from parts_for_tests import First, FixedPoint, MaskedSum, Shares
from privfl import CompositionError, Pipeline, PlanError, Unit, Vantage
from privfl.accounting import epsilon_of
from privfl.core import Cohort, Relation, Scalar
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.robust import NNM, Krum, TrimmedMean
from privfl.parts import Grouped, Mean, Plain, Weigh


def charge_of(*parts, n=10, d=3, scalars=()):
    plan = Pipeline(*parts).plan(n_clients=n, dim=d, scalars=scalars)
    (charge,) = plan.charges
    return plan, charge


# charges


def test_local_noise_is_charged_against_the_server():
    _, charge = charge_of(Clip(2.0), LocalGaussianNoise(1.5))
    assert charge.vantage == Vantage.SERVER
    assert charge.unit is Unit.CLIENT
    assert charge.relation is Relation.ZERO_OUT
    assert (charge.count, charge.delta) == (1, 0.0)


def test_central_noise_is_charged_against_those_who_see_the_release():
    _, charge = charge_of(Clip(2.0), Mean(), CentralGaussianNoise(1.5))
    assert charge.vantage == Vantage.OUTSIDER
    assert charge.unit is Unit.CLIENT


@pytest.mark.parametrize("relation", list(Relation))
@pytest.mark.parametrize("scalars", [(), (Scalar("loss", 3.0, share=0.7),)], ids=["", "loss"])
def test_epsilon_of_local_noise_is_that_of_its_messages(relation, scalars):
    """Any two messages are 2 C' apart, C' the joint bound, and the noise is z C' (rule R5)."""
    plan, charge = charge_of(Clip(2.0), LocalGaussianNoise(1.5, relation=relation), scalars=scalars)
    joint = 2.0 * math.sqrt(1 + sum(s.share**2 for s in scalars))
    assert plan.row_std == pytest.approx(1.5 * joint)
    effective = plan.row_std / (2 * joint)
    epsilon = epsilon_of(charge.event, 1e-5, charge.relation).upper
    assert float(delta_of(epsilon, effective, 1)) == pytest.approx(1e-5, rel=1e-6)


@pytest.mark.parametrize("relation", list(Relation))
@pytest.mark.parametrize(
    ("rule", "moved"),
    [
        (Mean(), lambda change: change / 10),
        (TrimmedMean(n_byzantine=2), lambda change: change / 6),
        (Krum(n_byzantine=2), lambda change: 4.0),
    ],
    ids=["mean", "trimmed", "krum"],
)
def test_epsilon_of_central_noise_is_that_of_the_release(relation, rule, moved):
    """What one client moves under the relation, over the noise that is there: no factor is lost."""
    if rule.sensitivity(1.0, 10, relation) is None:
        return
    noise = CentralGaussianNoise(1.5, relation=relation)
    plan, charge = charge_of(Clip(2.0), rule, noise)
    distance = moved(4.0 if relation is Relation.REPLACE_ONE else 2.0)
    effective = plan.release_std / distance
    assert effective == pytest.approx(1.5)
    epsilon = epsilon_of(charge.event, 1e-5, charge.relation).upper
    assert float(delta_of(epsilon, effective, 1)) == pytest.approx(1e-5, rel=1e-6)


def test_no_noise_charges_nothing():
    assert Pipeline(Clip(1.0)).plan(n_clients=3, dim=2).charges == ()


# places


@pytest.mark.parametrize(
    ("parts", "rule", "text"),
    [
        ((Clip(1.0), Mean(), LocalGaussianNoise(2.0)), "R5", r"use CentralGaussianNoise\(2.0\)"),
        ((Clip(1.0), Plain(), LocalGaussianNoise(2.0)), "R5", r"use CentralGaussianNoise\(2.0\)"),
        ((Clip(1.0), CentralGaussianNoise(2.0)), "R5", r"use LocalGaussianNoise\(2.0\)"),
        ((Clip(1.0), Plain(), CentralGaussianNoise(2.0), Mean()), "R5", "behind the aggregator"),
        ((LocalGaussianNoise(2.0),), "R5", r"Put Clip\(…\) right before it"),
        ((Mean(), CentralGaussianNoise(2.0)), "R2", r"Put Clip\(…\) before the protocol"),
        ((Clip(1.0), FixedPoint(), LocalGaussianNoise(2.0), MaskedSum(2)), "R5", "FixedPoint"),
        ((Clip(1.0), First(), CentralGaussianNoise(2.0)), "R2", "No bound is known.*First"),
        (
            (
                Clip(1.0),
                TrimmedMean(n_byzantine=1),
                CentralGaussianNoise(2.0, relation="add/remove"),
            ),
            "R2",
            "under add/remove",
        ),
        ((Clip(1.0), Weigh(5), Mean(), CentralGaussianNoise(2.0)), "R2", "Give Weigh a public"),
        ((Clip(1.0), Weigh(5), LocalGaussianNoise(2.0)), "R2", "Give Weigh a public"),
        (
            (Clip(1.0), MaskedSum(2), Mean(), CentralGaussianNoise(2.0)),
            "R31",
            "exact_sum_to_server",
        ),
        (
            (Clip(1.0), Grouped(MaskedSum(2), size=2), Mean(), CentralGaussianNoise(2.0)),
            "R31",
            "exact_sum_to_server",
        ),
        ((Clip(1.0), LocalGaussianNoise(1.0), LocalGaussianNoise(2.0)), "R31", "Keep one"),
        (
            (Clip(1.0), LocalGaussianNoise(1.0), Mean(), CentralGaussianNoise(2.0)),
            "R31",
            "local_and_central_noise",
        ),
        (
            (Clip(1.0), Mean(), CentralGaussianNoise(1.0), CentralGaussianNoise(2.0)),
            "R31",
            "Keep one",
        ),
        ((Clip(1.0), Shares(), Mean(), CentralGaussianNoise(2.0)), "R31", "Keep one"),
        ((Clip(1.0), Shares(), LocalGaussianNoise(2.0)), "R31", "Keep one"),
    ],
    ids=str,
)
def test_noise_in_the_wrong_place_is_refused_with_the_right_one_named(parts, rule, text):
    with pytest.raises(CompositionError, match=f"(?s){text}") as error:
        Pipeline(*parts)
    assert error.value.rule == rule
    assert len(error.value.parts) == 2


@pytest.mark.parametrize(
    "parts",
    [
        (Clip(1.0), Mean(), CentralGaussianNoise(1.0), CentralGaussianNoise(2.0)),
        (Clip(1.0), Shares(), Mean(), CentralGaussianNoise(2.0)),
    ],
    ids=str,
)
def test_accepting_local_and_central_accepts_no_other_pair(parts):
    with pytest.raises(CompositionError) as error:
        Pipeline(*parts, accepting="local_and_central_noise")
    assert error.value.rule == "R31"


def test_an_accepted_exact_sum_builds():
    shield = Pipeline(
        Clip(1.0),
        MaskedSum(2),
        Mean(),
        CentralGaussianNoise(1.0),
        accepting={"exact_sum_to_server"},
    )
    explained = str(shield.explain(n_clients=4, dim=3))
    assert "The server sees the exact sum; only what it publishes is noised." in explained


# relations


def test_a_relation_is_written_where_it_is_not_the_default():
    assert repr(CentralGaussianNoise(1.0)) == "CentralGaussianNoise(1.0)"
    noise = LocalGaussianNoise(2, relation="add/remove")
    assert repr(noise) == "LocalGaussianNoise(2, relation='add/remove')"
    assert noise.relation is Relation.ADD_REMOVE
    assert CentralGaussianNoise(1.0) != CentralGaussianNoise(1.0, relation="replace-one")


@pytest.mark.parametrize("kind", [CentralGaussianNoise, LocalGaussianNoise])
@pytest.mark.parametrize("multiplier", [0, -1.0, math.inf, math.nan, None, "1"])
def test_noise_that_is_none_is_refused(kind, multiplier):
    with pytest.raises(ValueError, match=r"noise_multiplier must be positive. Found"):
        kind(multiplier)
    with pytest.raises(ValueError, match="relation must be one of"):
        kind(1.0, relation="neighbours")


# owners and dropouts


def test_the_client_adds_local_noise_and_the_opener_central_noise():
    def runs(*parts):
        rows = Pipeline(*parts).explain(n_clients=3, dim=2).runs
        return {part: who for who, part, _ in rows}

    assert runs(Clip(1.0), LocalGaussianNoise(1.0))["LocalGaussianNoise(1.0)"] == "client"
    central = runs(Clip(1.0), Mean(), CentralGaussianNoise(1.0))
    assert central["CentralGaussianNoise(1.0)"] == "server"


def test_a_trimmed_mean_of_fewer_counts_the_absent_as_zero():
    """Noise is scaled for n = 9 rows; of 7 rows one client would move the release further."""
    quiet = CentralGaussianNoise(1e-12)
    shield = Pipeline(Clip(10.0), TrimmedMean(n_byzantine=2), quiet)
    updates = torch.arange(1.0, 10.0)[:, None]
    drop = {0: "upload", 8: "upload"}
    release = shield.aggregate(updates, drop=drop)
    rows = [0, 0, 2, 3, 4, 5, 6, 7, 8]
    assert float(release.update) == pytest.approx(sum(sorted(rows)[2:-2]) / 5, abs=1e-6)
    assert release.survivors == tuple(range(1, 8))
    undefended = Pipeline(TrimmedMean(n_byzantine=2)).aggregate(updates, drop=drop)
    assert float(undefended.update) == pytest.approx(5.0)


def test_a_rule_whose_bound_does_not_depend_on_n_runs_on_those_who_are_there():
    shield = Pipeline(Clip(10.0), Krum(n_byzantine=1), CentralGaussianNoise(1e-12))
    updates = torch.tensor([[5.0], [5.1], [5.2], [5.3], [5.4], [5.5], [5.6]])
    release = shield.aggregate(updates, drop={0: "upload", 1: "upload"})
    assert 5 < float(release.update) < 6


def test_a_round_that_is_too_small_for_its_rule_aborts_or_is_refused():
    shield = Pipeline(Clip(10.0), NNM(TrimmedMean(n_byzantine=2)), CentralGaussianNoise(1.0))
    with pytest.raises(PlanError) as error:
        shield.plan(n_clients=4, dim=1)
    assert error.value.rule == "R17"
    with pytest.raises(PlanError):
        shield.aggregate(torch.ones(4, 2))


def test_weights_below_one_are_in_the_sensitivity_of_a_rule_that_divides_by_them():
    """A client clips w x; the rule gets clip(w x) / w, which is as long as C / w."""
    cohort = Cohort(tuple(range(5)), (0.25, 1.0, 1.0, 1.0, 1.0))
    quiet = CentralGaussianNoise(1e-9)
    shield = Pipeline(Clip(1.0), TrimmedMean(n_byzantine=2), quiet)
    release = shield.aggregate(torch.full((5, 1), 4.0), cohort=cohort, transcript=True)
    assert release.opened.means[0] == 4.0
    from privfl.rounds import Opening, Setting

    setting = Setting(shield, Opening.fresh(shield, cohort, 1))
    assert setting.plan.sensitivity[Relation.ZERO_OUT] == 4.0
