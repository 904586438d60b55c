"""Sorting many short columns."""

import pytest
import torch

from privfl.parts._ranked import ranked


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("n", [1, 2, 17, 130])
def test_each_column_is_sorted(dtype, n):
    block = torch.randn(n, 5, generator=torch.Generator().manual_seed(n)).to(dtype)
    before = block.clone()
    made = ranked(block)
    assert torch.equal(made.to(dtype), block.sort(dim=0).values.T)
    assert torch.equal(block, before)


def test_a_strided_block_is_sorted_too():
    rows = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ranked(rows[:, 3:7]), rows[:, 3:7].sort(dim=0).values.T)
