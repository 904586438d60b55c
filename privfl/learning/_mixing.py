"""Who listens to whom, and how much: doubly stochastic matrices."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from privfl.core import require, require_count

Matrix = tuple[tuple[float, ...], ...]


def ring(n: int) -> Matrix:
    """Let each of ``n`` nodes count itself and both neighbours on a ring for a third.

    >>> ring(4)[0]
    (0.333..., 0.333..., 0.0, 0.333...)
    """
    require_count("n", n, least=3)
    return metropolis(n, [(k, (k + 1) % n) for k in range(n)])


def complete(n: int) -> Matrix:
    """Let everybody count everybody alike.

    >>> complete(2)
    ((0.5, 0.5), (0.5, 0.5))
    """
    require_count("n", n, least=1)
    return ((1 / n,) * n,) * n


def metropolis(n: int, edges: Sequence[tuple[int, int]]) -> Matrix:
    """Weigh an undirected graph by its degrees: doubly stochastic on any graph.

    An edge counts ``1 / (1 + max(degree))`` over its ends, and a node itself for the rest
    (Metropolis weights; Xiao, Boyd, Lall 2005).

    >>> metropolis(3, [(0, 1), (1, 2)])[0]
    (0.666..., 0.333..., 0.0)
    """
    matrix = torch.zeros(n, n, dtype=torch.float64)
    pairs = {frozenset(edge) for edge in edges}
    good = all(len(pair) == 2 and all(0 <= k < n for k in pair) for pair in pairs)
    require(good, f"Edges are pairs of different nodes from 0 to {n - 1}", list(edges))
    degree = [sum(k in pair for pair in pairs) for k in range(n)]
    for a, b in pairs:
        matrix[a, b] = matrix[b, a] = 1 / (1 + max(degree[a], degree[b]))
    return doubly_stochastic(matrix + torch.diag(1 - matrix.sum(dim=1)))


def doubly_stochastic(matrix: Tensor | Sequence[Sequence[float]]) -> Matrix:
    """Return a matrix (n, n) as rows, if it keeps every mean.

    Raises:
        ValueError: for another shape, a negative entry, or a row or column that does not sum to 1.
    """
    found = torch.as_tensor(matrix, dtype=torch.float64)
    square = found.ndim == 2 and found.shape[0] == found.shape[1] > 0
    require(square, "A mixing matrix has shape (n, n)", tuple(found.shape))
    wanted = "A mixing matrix has entries from 0 up, and rows and columns that sum to 1"
    require(bool((found >= 0).all()), wanted, float(found.min()))
    off = max(float((found.sum(dim=k) - 1).abs().max()) for k in (0, 1))
    require(off < 1e-9, wanted, f"one that sums to 1 off by {off:.3g}")
    return cast("Matrix", tuple(map(tuple, found.tolist())))


def contraction(matrix: Matrix) -> float:
    """Return the factor by which one mixing brings everybody closer to the mean, or better.

    The second largest absolute eigenvalue for a symmetric matrix, the norm off the mean in general.

    >>> contraction(complete(5))
    0.0
    """
    found = torch.tensor(matrix, dtype=torch.float64)
    off_mean = found - torch.full_like(found, 1 / len(found))
    return round(float(torch.linalg.matrix_norm(off_mean, ord=2)), 15)
