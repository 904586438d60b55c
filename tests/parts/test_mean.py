"""The neutral parts: what arrives is what was sent, and the mean of it is the mean."""

import pytest
import torch

from oracles.weighted_mean import mean, weighted_mean
from privfl import Pipeline
from privfl.core import Cohort, Relation
from privfl.defenses.dp import CentralGaussianNoise, Clip
from privfl.parts import Mean, Plain

UPDATES = torch.randn(7, 40, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_plain_and_mean_are_the_mean_to_the_last_bit(dtype):
    updates = UPDATES.to(dtype)
    exact = torch.tensor(mean(updates.double().tolist()), dtype=torch.float64)
    release = Pipeline().aggregate(updates)
    assert release.update.dtype == dtype
    if dtype is torch.float64:
        assert torch.allclose(release.update, exact, rtol=1e-15, atol=1e-16)
    else:
        assert torch.equal(release.update, exact.to(dtype))


def test_dropouts_leave_the_mean_of_the_survivors():
    release = Pipeline().aggregate(UPDATES, drop={0: "upload", 5: "upload"})
    expected = torch.tensor(mean(UPDATES.tolist(), [1, 2, 3, 4, 6]), dtype=torch.float64)
    assert torch.equal(release.update, expected.float())
    assert release.denominator == 5
    assert str(release) == "5 of 7"


def test_clients_in_another_order_give_the_same_bits():
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    for dtype in (torch.float32, torch.float64):
        a = Pipeline().aggregate(UPDATES.to(dtype)).update
        b = Pipeline().aggregate(UPDATES[order].to(dtype)).update
        assert torch.equal(a, b)


def test_public_weights_weigh():
    weights = (1.0, 0.5, 2.0, 0.0, 0.25, 1.0, 0.125)
    cohort = Cohort(tuple("abcdefg"), weights)
    release = Pipeline().aggregate(UPDATES, cohort=cohort, drop={"c": "upload"})
    expected = weighted_mean(UPDATES.tolist(), weights, [0, 1, 3, 4, 5, 6])
    assert torch.allclose(release.update, torch.tensor(expected).float(), atol=1e-6)
    assert release.denominator == 2.875


def test_survivors_without_weight_give_zero():
    cohort = Cohort(("a", "b"), (0.0, 1.0))
    statistics = torch.ones(2, 3)
    release = Pipeline().aggregate(
        torch.ones(2, 4), cohort=cohort, drop={"b": "upload"}, statistics=statistics
    )
    assert release.update.tolist() == [0.0] * 4
    assert release.statistics.isfinite().all()


def test_owners_divide_each_coordinate_by_those_who_train_it():
    owners = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0]]).bool()
    updates = torch.tensor([[1.0, 2.0, 3.0], [3.0, 4.0, 99.0], [5.0, 99.0, 99.0]])
    cohort = Cohort((0, 1, 2), None, owners)
    release = Pipeline().aggregate(updates, cohort=cohort)
    assert release.update.tolist() == [3, 3, 3]
    assert release.denominator.tolist() == [3, 2, 1]
    gone = Pipeline().aggregate(updates, cohort=cohort, drop={0: "upload"})
    assert gone.update.tolist() == [4, 4, 0]


def test_owners_of_another_size_are_refused():
    cohort = Cohort((0, 1), None, torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"owners must have shape \(2, 4\). Found \(2, 3\)"):
        Pipeline().aggregate(torch.ones(2, 4), cohort=cohort)


def test_under_a_privacy_claim_the_public_cohort_divides():
    """Nine of ten: each absent client counts as a zero update (rule R3)."""
    shield = Pipeline(Clip(100.0), Mean(), CentralGaussianNoise(1e-12))
    release = shield.aggregate(torch.ones(10, 3), drop={4: "upload"})
    assert torch.allclose(release.update, torch.full((3,), 0.9))
    assert release.denominator == 10
    assert str(release) == "9 of 10, scaled by .9"


def test_one_client_moves_the_mean_by_its_share():
    for relation, moved in (("zero-out", 1), ("replace-one", 2), ("add/remove", 1)):
        assert Mean().sensitivity(3.0, 10, Relation.of(relation)) == pytest.approx(0.3 * moved)


def test_the_plan_foretells_the_bytes_of_a_round():
    plan = Pipeline().plan(n_clients=3, dim=1000)
    release = Pipeline().aggregate(torch.ones(3, 1000))
    assert (plan.bytes_up, plan.bytes_down) == (release.bytes_up, release.bytes_down)
    assert 4000 < plan.bytes_up < 4200
    assert Plain().stages == ("upload",)
