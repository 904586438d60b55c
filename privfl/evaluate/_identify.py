"""Whether a victim's image can be picked out of a crowd by its reconstruction."""

import torch
from torch import Tensor

from privfl.crypto import Stream
from privfl.evaluate._assign import assign, correlation
from privfl.evaluate._pool import Pool

AMONG = 100  # chance is 1 %


def identify(
    images: Tensor,
    truth: Tensor,
    labels: Tensor,
    pool: Pool,
    generator: Stream,
    *,
    among: int = AMONG,
) -> Tensor:
    """Tell which images are picked out of ``among`` of the same label.

    Each reconstruction is assigned to one true image (`assign`), and identifies it if it correlates
    with it more than with each of ``among - 1`` images of its label from the pool (compare the
    identifiability precision of Yin et al. 2021, https://arxiv.org/abs/2104.07586). Only what lies
    in the pool and not in the update is in the crowd.

    Args:
        images: (r, *shape), the reconstructions of one row of a view.
        truth: (k, *shape), the images behind it.
        labels: (k,) of the truth.
        pool: where the crowd comes from.
        generator: draws the crowd.
        among: how many stand in line, the true image included.

    Returns:
        (min(r, k),) bool, one for each assigned pair.

    Raises:
        ValueError: where the pool has too few images of a label.

    >>> images, labels = torch.rand(200, 1, 8, 8), torch.arange(200) % 2
    >>> identify(images[:2], images[:2], labels[:2], Pool(images, labels), Stream(), among=50)
    tensor([True, True])
    """
    pool = pool.without(truth)
    to_pool = pool.correlation(images)
    return _picked(correlation(images, truth), to_pool, labels, pool, generator, among)


def identify_null(
    images: Tensor,
    truth: Tensor,
    labels: Tensor,
    pool: Pool,
    generator: Stream,
    *,
    among: int = AMONG,
    draws: int = 20,
) -> Tensor:
    """Score the same reconstructions against images that were not in the update.

    Each draw puts an image of the same label from the pool in the place of every true one, and
    identifies it through the same assignment. What this finds, `identify` finds by the assignment
    alone: it may choose among many.

    Returns:
        (draws, min(r, k)) bool.
    """
    pool = pool.without(truth)
    to_pool = pool.correlation(images)
    hits = []
    for _ in range(draws):
        decoys = pool.draw(labels, generator)
        hits.append(
            _picked(to_pool[:, decoys], to_pool, labels, pool, generator, among, besides=decoys)
        )
    return torch.stack(hits)


def _picked(
    to_truth: Tensor,
    to_pool: Tensor,
    labels: Tensor,
    pool: Pool,
    generator: Stream,
    among: int,
    besides: Tensor | None = None,
) -> Tensor:
    """Compare each assigned pair with its crowd; a tie is no pick."""
    rows, columns = assign(to_truth)
    crowds = [pool.crowd(k, among - 1, generator, besides) for k in labels[columns].tolist()]
    rivals = to_pool[rows].gather(1, torch.stack(crowds)).amax(dim=1)
    return to_truth[rows, columns] > rivals
