"""The Walsh-Hadamard transform, in blocks."""

import math

import torch
from torch import Tensor

BLOCK = 1 << 14  # padding one block of all of 11.7 million coordinates would cost 43 % of them


def padded(dim: int) -> int:
    """Return how many coordinates whole blocks take that hold ``dim``.

    >>> padded(5), padded(2 ** 14 + 3)
    (8, 16388)
    """
    whole, rest = divmod(dim, BLOCK)
    return whole * BLOCK + (1 << (rest - 1).bit_length() if rest else 0)


def walsh_hadamard(x: Tensor) -> Tensor:
    """Transform each block of ``x``, padded to ``D``, by an orthogonal Hadamard matrix: (D,).

    The matrix of a block is Sylvester's over the root of its size (Suresh et al. 2017,
    https://arxiv.org/abs/1611.00429, section 3); it is its own inverse.

    >>> walsh_hadamard(torch.tensor([2.0, 0.0, 0.0, 0.0]))
    tensor([1., 1., 1., 1.])
    """
    whole = len(x) // BLOCK * BLOCK
    blocks, last = x[:whole].view(-1, BLOCK), x[whole:].view(1, -1)
    return torch.cat([_rows(part).flatten() for part in (blocks, last) if part.numel()])


def _rows(x: Tensor) -> Tensor:
    """Transform each row, whose length is a power of two: (m, b) -> (m, b)."""
    made, half = x, 1
    while half < x.shape[1]:  # sums and differences of neighbours that are `half` apart
        pairs = made.reshape(-1, 2, half)
        made = torch.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], dim=1)
        half *= 2
    return made.reshape(x.shape) / math.sqrt(x.shape[1])
