"""One order of rows, so that every sum is taken alike."""

from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 4096  # columns at a time: a block of 100 float64 rows stays in cache
PREFIX = 64  # columns that decide the order of rows, unless some start alike


def canonical_order(updates: Tensor, weights: Tensor | None = None) -> list[int]:
    """Order rows (n, d), and then their weights, by their bytes: -> n positions.

    A Gram matrix changes its last bits when rows are permuted; only a fixed order repeats it.
    """
    keys = _row_bytes(updates[:, :PREFIX])
    alike = Counter(keys)
    doubtful = [k for k, key in enumerate(keys) if alike[key] > 1]
    for k, key in zip(doubtful, _row_bytes(updates[doubtful]), strict=True):
        keys[k] = key
    ties = [0.0] * len(keys) if weights is None else weights.tolist()
    return sorted(range(len(keys)), key=lambda k: (keys[k], ties[k]))


def blocks(updates: Tensor, order: list[int]) -> Iterator[Tensor]:
    """Yield the columns of the rows in ``order``, each block in a fresh contiguous buffer.

    Equal bits need equal buffers: a sum over a strided view may be taken in another order.
    """
    for block in torch.split(updates, BLOCK, dim=1):
        yield block[order]


def _row_bytes(rows: Tensor) -> list[bytes]:
    """Return the bytes of each row (n, d)."""
    return [row.tobytes() for row in rows.detach().cpu().contiguous().view(torch.uint8).numpy()]
