"""What the base of every rule does before and after the rule."""

from dataclasses import dataclass

import pytest
import torch

from privfl.core import PlanError
from privfl.parts import Aggregator, Mean


@dataclass(frozen=True)
class Middle(Aggregator):
    """Take the row of least norm, by the Gram matrix."""

    def mixture(self, statistic, weights=None):
        mixture = statistic.new_zeros(1, len(statistic))
        mixture[0, statistic.diagonal().argmin()] = 1
        return mixture


def test_weights_are_refused_by_a_rule_that_counts_rows_once():
    with pytest.raises(ValueError, match=r"counts every row once. Found weights for 2 rows"):
        Middle()(torch.ones(2, 3), torch.ones(2))


@pytest.mark.parametrize(
    "weights", [torch.ones(3), torch.tensor([1.0, -1.0]), torch.zeros(2), [1.0, 2.0]]
)
def test_weights_that_are_none_are_refused_by_the_mean(weights):
    with pytest.raises(ValueError, match="weights must be 2 finite numbers"):
        Mean()(torch.ones(2, 3), weights)


def test_distances_survive_a_far_row_and_a_common_offset():
    """Two rows at 1e12, or all rows at 1e8: a mean-centred or a raw Gram cancels to noise."""
    rows = torch.randn(9, 50, generator=torch.Generator().manual_seed(0)).double()
    true = torch.cdist(rows, rows)
    for moved in (rows + 1e8, torch.cat([rows, rows.new_full((2, 50), 1e12)])):
        gram = Mean().statistic(moved)[:9, :9]
        norms = gram.diagonal()
        made = (norms[:, None] + norms - 2 * gram).clamp(min=0).sqrt()
        assert torch.allclose(made, true, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_distances_are_those_of_float64(dtype):
    """Rounding a difference of float32 rows would show from the seventh digit on."""
    rows = torch.randn(6, 50, generator=torch.Generator().manual_seed(0)).to(dtype)
    gram = Mean().statistic(rows)
    norms = gram.diagonal()
    true = torch.cdist(rows.double(), rows.double(), compute_mode="donot_use_mm_for_euclid_dist")
    assert torch.allclose(norms[:, None] + norms - 2 * gram, true**2, rtol=1e-12, atol=1e-12)


def test_the_square_of_the_farthest_float64_row_is_finite():
    rows = torch.randn(5, 3).double()
    rows[0] = torch.finfo(torch.float64).max / 16
    assert Mean().statistic(rows).isfinite().all()


def test_blocks_give_what_one_block_gives():
    rows = torch.randn(7, 9001, generator=torch.Generator().manual_seed(0))
    made = Middle()(rows)
    assert any(torch.equal(made, row) for row in rows)
    assert torch.allclose(Mean()(rows), rows.double().mean(dim=0).float(), rtol=1e-7)


def test_a_result_carries_no_gradient():
    assert not Mean()(torch.ones(2, 3, requires_grad=True)).requires_grad


def test_too_few_rows_name_the_rule_and_the_number():
    class Three(Mean):
        min_rows = 3

    with pytest.raises(PlanError, match=r"needs at least 3 rows. Found 2"):
        Three()(torch.ones(2, 3))
