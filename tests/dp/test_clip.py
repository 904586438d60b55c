"""Where a clip stands says whose promise it is."""

import math

import pytest
import torch

from parts_for_tests import FixedPoint, MaskedSum
from privfl import CompositionError, Pipeline
from privfl.core import Cohort, Relation, Scalar
from privfl.defenses.dp import AdaptiveClip, CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.robust import TrimmedMean
from privfl.parts import Grouped, Mean, Plain
from privfl.rounds import Opening, Setting
from rounds_for_tests import whole_numbers

UPDATES = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])


def test_a_client_promises():
    shield = Pipeline(Clip(1.0))
    release = shield.aggregate(UPDATES)
    assert torch.allclose(release.update, torch.tensor([0.9, 1.2]) / 3)
    assert (shield.contract.clip_norm, shield.contract.enforced_by) == (1.0, "client")
    assert release.opened.sums.norm(dim=1).max() <= 1


def test_a_server_enforces_on_every_row():
    shield = Pipeline(Plain(), Clip(1.0))
    release = shield.aggregate(UPDATES)
    assert torch.allclose(release.update, torch.tensor([0.9, 1.2]) / 3)
    assert (shield.contract.clip_norm, shield.contract.enforced_by) == (1.0, "opener")
    assert torch.equal(release.opened.sums, UPDATES)


def test_a_server_that_opens_group_sums_bounds_no_client():
    shield = Pipeline(Grouped(MaskedSum(2), size=2), Clip(1.0), TrimmedMean(n_byzantine=0))
    assert (shield.contract.clip_norm, shield.contract.enforced_by) == (math.inf, "nobody")
    updates = torch.full((4, 1), 100.0)
    assert shield.aggregate(updates).update.tolist() == pytest.approx([1.0], abs=1e-5)
    described = str(shield.explain(n_clients=4, dim=1))
    assert "each group mean has norm at most 1, enforced by the server" in described


@pytest.mark.parametrize(
    ("parts", "norm", "who"),
    [
        ((Clip(0.5), Plain(), Clip(1.0)), 0.5, "client"),
        ((Clip(1.0), Plain(), Clip(0.5)), 0.5, "both"),
        ((Clip(1.0), Plain(), Clip(1.0)), 1.0, "both"),
        ((Clip(1.0), Clip(0.5)), 0.5, "client"),
        ((Clip(0.5), Clip(1.0)), 0.5, "client"),
    ],
    ids=str,
)
def test_of_two_clips_the_smaller_bound_holds_and_is_whose_it_is(parts, norm, who):
    """A promise of .5 is no bound of .5 for that the server enforces 1."""
    contract = Pipeline(*parts).contract
    assert (contract.clip_norm, contract.enforced_by) == (norm, who)
    assert Pipeline(*parts).plan(n_clients=3, dim=2).clip_norm == norm


@pytest.mark.parametrize(
    "parts", [(Clip(1.0), MaskedSum(2)), (Clip(1.0), FixedPoint(), MaskedSum(2))]
)
def test_under_a_sum_a_clip_stays_a_promise(parts):
    assert Pipeline(*parts).contract.enforced_by == "client"


def test_where_both_clip_the_plan_bounds_what_either_lets_through():
    """Clients weigh before they clip and the server behind it, so each may be the tighter one."""
    weights = Cohort((0, 1), (0.5, 0.5))
    shield = Pipeline(AdaptiveClip(1.0), Plain(), Clip(5.0), Mean())
    release = shield.aggregate(torch.tensor([[100.0], [0.0]]), cohort=weights)
    plan = Setting(shield, Opening.fresh(shield, weights, 1)).plan
    planned = plan.sensitivity[Relation.ZERO_OUT]
    assert abs(float(release.update)) <= planned + 1e-6
    assert planned == pytest.approx(1.0, rel=0.2)  # the bit that rides along adds its share


def test_a_client_that_sends_nan_sends_zero():
    updates = torch.tensor([[math.nan, 1.0], [0.6, 0.8]])
    release = Pipeline(Clip(1.0)).aggregate(updates)
    assert release.survivors == (0, 1)
    assert torch.allclose(release.update, torch.tensor([0.3, 0.4]))


def test_a_scalar_that_is_not_finite_makes_the_whole_update_zero():
    loss = Scalar("loss", 10.0)
    release = Pipeline(Clip(1.0)).aggregate(UPDATES, scalars={loss: [math.nan, 2.0, 4.0]})
    assert release.scalars["loss"] == pytest.approx(2.0)
    assert torch.allclose(release.update, torch.tensor([0.1, 0.4 / 3]), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_it_keeps_the_dtype(dtype):
    assert Pipeline(Clip(1.0)).aggregate(UPDATES.to(dtype)).update.dtype == dtype


def test_running_statistics_are_not_clipped():
    release = Pipeline(Clip(1e-3)).aggregate(UPDATES, statistics=torch.full((3, 2), 50.0))
    assert release.statistics.tolist() == [50, 50]
    assert release.update.norm() <= 1e-3


def test_a_server_clips_the_mean_and_not_the_weighed_row():
    from privfl.core import Cohort

    cohort = Cohort((0, 1), (4.0, 1.0))
    updates = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    release = Pipeline(Plain(), Clip(1.0)).aggregate(updates, cohort=cohort)
    assert torch.allclose(release.update, torch.tensor([0.6, 0.8]) * 4 / 5)


@pytest.mark.parametrize(
    ("parts", "rule", "pair"),
    [
        (
            (Clip(1.0), LocalGaussianNoise(1.0), Clip(2.0)),
            "R1",
            (LocalGaussianNoise(1.0), Clip(2.0)),
        ),
        (
            (Clip(1.0), LocalGaussianNoise(1.0), Plain(), Clip(2.0)),
            "R1",
            (LocalGaussianNoise(1.0), Clip(2.0)),
        ),
        ((Mean(), Clip(1.0)), "R1", (Mean(), Clip(1.0))),
        (
            (Clip(1.0), Mean(), CentralGaussianNoise(1.0), Clip(1.0)),
            "R1",
            (CentralGaussianNoise(1.0), Clip(1.0)),
        ),
        ((FixedPoint(), Clip(1.0), MaskedSum(2)), "R4", (FixedPoint(), Clip(1.0))),
    ],
    ids=str,
)
def test_a_clip_that_bounds_no_update_is_refused(parts, rule, pair):
    with pytest.raises(CompositionError) as error:
        Pipeline(*parts)
    assert (error.value.rule, error.value.parts) == (rule, pair)


@pytest.mark.parametrize("norm", [0, -1.0, math.inf, math.nan, "1", None, True])
def test_a_norm_that_bounds_nothing_is_refused(norm):
    with pytest.raises(ValueError, match=r"clip_norm must be positive. Found"):
        Clip(norm)


def test_a_zero_row_goes_through_the_whole_round():
    release = Pipeline(Clip(1.0), MaskedSum(2)).aggregate(torch.zeros(3, 4))
    assert release.update.tolist() == [0.0] * 4
    assert whole_numbers(1, 1).shape == (1, 1)
