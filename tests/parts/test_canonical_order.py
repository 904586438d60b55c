"""Rows in one order, whatever order they came in."""

import pytest
import torch

from privfl.parts import Mean
from privfl.parts._canonical import blocks, canonical_order

SHUFFLES = [torch.randperm(9, generator=torch.Generator().manual_seed(k)) for k in range(5)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("frozen", [0, 100], ids=["differ at once", "start alike"])
@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_a_shuffle_does_not_change_the_rows_in_order(dtype, frozen, shuffle):
    rows = torch.randn(9, 20, generator=torch.Generator().manual_seed(0)).to(dtype)
    rows = torch.cat([rows.new_zeros(9, frozen), rows], dim=1)
    rows[3] = rows[5]
    shuffled = rows[shuffle]
    assert torch.equal(rows[canonical_order(rows)], shuffled[canonical_order(shuffled)])


def test_a_prefix_decides_as_whole_rows_would():
    """Rows that start alike among rows that do not: both keys are compared with each other."""
    rows = torch.randn(6, 80, generator=torch.Generator().manual_seed(1))
    rows[[1, 4], :64] = rows[2, :64]
    whole = sorted(range(6), key=lambda k: rows[k].numpy().tobytes())
    assert canonical_order(rows) == whole


def test_equal_rows_are_ordered_by_their_weights():
    rows = torch.ones(3, 2)
    assert canonical_order(rows, torch.tensor([3.0, 1.0, 2.0])) == [1, 2, 0]


def test_a_weighted_mean_keeps_its_bits_when_equal_rows_change_places():
    rows = torch.full((9, 1), 0.1, dtype=torch.float64)
    weights = torch.rand(9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert len({float(weights[order] @ rows[order]) for order in SHUFFLES}) > 1  # it could matter
    assert len({float(Mean()(rows, weights[order])) for order in SHUFFLES}) == 1


def test_blocks_are_contiguous_and_in_order():
    rows = torch.arange(3 * 9000.0).reshape(3, 9000)
    made = list(blocks(rows, [2, 0]))
    assert all(block.is_contiguous() for block in made)
    assert torch.equal(torch.cat(made, dim=1), rows[[2, 0]])
