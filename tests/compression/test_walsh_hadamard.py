"""The fast transform is the matrix product, block by block."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard

from oracles.walsh_hadamard import coordinate, transform
from privfl.compression._walsh_hadamard import BLOCK, padded, walsh_hadamard

ENTRIES = st.floats(-1e6, 1e6, allow_nan=False, width=32)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 7).flatmap(lambda p: st.lists(ENTRIES, min_size=2**p, max_size=2**p)))
def test_it_is_the_product_with_each_row_of_the_matrix(x):
    fast = walsh_hadamard(torch.tensor(x, dtype=torch.float64))
    size = max(1.0, max(map(abs, x)))
    assert fast.tolist() == pytest.approx(transform(x), abs=1e-12 * size * len(x))


@pytest.mark.parametrize("size", [1, 2, 32, 256])
def test_it_is_scipy_s_matrix_over_the_root_of_its_size(size):
    fast = torch.stack([walsh_hadamard(row) for row in torch.eye(size, dtype=torch.float64)])
    assert torch.allclose(
        fast, torch.tensor(hadamard(size)).double() / size**0.5, rtol=0, atol=1e-15
    )


def test_whole_blocks_and_the_last_one_are_transformed_apart():
    x = torch.randn(2 * BLOCK + 8, generator=torch.Generator().manual_seed(0)).double()
    fast = walsh_hadamard(x)
    for start, stop in ((0, BLOCK), (BLOCK, 2 * BLOCK), (2 * BLOCK, 2 * BLOCK + 8)):
        block = x[start:stop].tolist()
        for i in {0, 1, 5, (stop - start) // 2, stop - start - 1}:
            assert float(fast[start + i]) == pytest.approx(coordinate(block, i), abs=1e-10)


@pytest.mark.parametrize(
    ("dim", "whole"),
    [
        (1, 1),
        (3, 4),
        (BLOCK - 1, BLOCK),
        (BLOCK, BLOCK),
        (BLOCK + 1, BLOCK + 1),
        (BLOCK + 9, BLOCK + 16),
        (1_000_000, 61 * BLOCK + 1024),
    ],
)
def test_the_last_block_is_padded_to_a_power_of_two_of_its_own(dim, whole):
    assert padded(dim) == whole


def test_padding_costs_little_where_one_block_would_cost_43_percent():
    assert padded(11_700_000) / 11_700_000 < 1.002
    assert 2**24 / 11_700_000 > 1.43
