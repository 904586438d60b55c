"""Distances between rows from their Gram matrix."""

from torch import Tensor


def squared_distances(gram: Tensor) -> Tensor:
    """Return the squared distance of each pair of rows: (n, n) Gram matrix -> (n, n).

    >>> import torch
    >>> squared_distances(torch.tensor([[1.0, 0.0], [0.0, 4.0]]))
    tensor([[0., 5.],
            [5., 0.]])
    """
    norms = gram.diagonal()
    # clamp: rounding takes the distance of near equal rows below zero
    squared = (norms[:, None] + norms[None, :] - 2 * gram).clamp_(min=0)
    return squared.fill_diagonal_(0)
