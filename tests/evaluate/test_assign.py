"""Reconstructions are paired with images as well as they can be, in the right direction."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oracles.matching import best_pairs
from oracles.matching import correlation as slow_correlation
from privfl.evaluate._assign import assign, correlation

sides = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10_000))


def table(rows, columns, seed):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, columns)))


@given(sides)
def test_pairs_are_the_best_of_all(case):
    correlations = table(*case)
    rows, columns = assign(correlations)
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == best_pairs(correlations)


@given(st.permutations(range(6)))
def test_a_perfect_batch_in_any_order_is_paired_exactly(order):
    """Reading the pairs the other way round is right only for orders that are their own inverse."""
    truth = torch.rand(6, 1, 8, 8)
    images = truth[list(order)]
    rows, columns = assign(correlation(images, truth))
    assert torch.equal(images[rows], truth[columns])
    assert columns.tolist() == list(order)


@pytest.mark.parametrize(("n_images", "n_truth"), [(2, 5), (5, 2)])
def test_one_side_may_be_longer(n_images, n_truth):
    crowd = torch.rand(5, 1, 8, 8)
    images, truth = crowd[:n_images].flip(0), crowd[:n_truth]
    rows, columns = assign(correlation(images, truth))
    assert len(rows) == len(columns) == 2
    assert torch.equal(images[rows], truth[columns])


def test_correlation_is_pearsons():
    images, others = torch.rand(3, 2, 4, 4), torch.rand(5, 2, 4, 4)
    slow = [[slow_correlation(a, b) for b in others.numpy()] for a in images.numpy()]
    assert np.allclose(correlation(images, others), slow)


def test_correlation_sees_neither_brightness_nor_contrast():
    image = torch.rand(1, 1, 8, 8)
    assert correlation(image, 0.2 + 0.3 * image).item() == pytest.approx(1)


def test_a_constant_image_is_like_nothing():
    assert correlation(torch.full((2, 8, 8), 0.1), torch.rand(3, 8, 8)).abs().max() < 1e-4
