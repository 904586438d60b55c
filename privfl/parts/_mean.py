"""The neutral aggregator."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from privfl.core import At, Relation, Rows
from privfl.parts._aggregator import Aggregator
from privfl.parts._canonical import canonical_order

COLUMNS = 1 << 16  # a block's float64 total stays in the cache


@dataclass(frozen=True)
class Mean(Aggregator):
    """Average the rows: (n, d) -> (d,).

    Uniform over clients: example counts are private and weigh only through `privfl.parts.Weigh`.
    Under a privacy claim a pipeline divides by the public cohort, so that an absent client counts
    as a zero update (rule R3); otherwise by the survivors, as in FedAvg (McMahan et al. 2017,
    https://arxiv.org/abs/1602.05629).

    Guarantees:
        - Equal rows give that row.
        - One client moves the mean by at most ``C / n`` (zero-out) or ``2C / n`` (replace-one).
        - It is not robust: one row moves it anywhere.

    >>> Mean()(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    tensor([2., 4.])
    """

    linear: ClassVar[bool] = True

    def apply(self, rows: Rows, at: At) -> Tensor:
        """Add the sums and divide by the weight behind them: -> (d,)."""
        del at
        order = canonical_order(rows.sums)
        total = rows.sums.new_zeros(rows.sums.shape[1], dtype=torch.float64)
        blocks = rows.sums.split(COLUMNS, dim=1), total.split(COLUMNS)
        for block, part in zip(*blocks, strict=True):
            for k in order:  # one row at a time: no float64 copy of them all
                part += block[k]
        heads = total.new_tensor(len(rows.survivors))
        weight = heads if rows.weight is None else rows.weight.sum(dim=0)
        return (total / weight.where(weight != 0, weight.new_ones(()))).to(rows.sums.dtype)

    def columns(self, block: Tensor, weights: Tensor | None = None) -> Tensor:
        """Average a block of columns in float64: (n, b) -> (b,)."""
        if weights is None:
            return block.double().mean(dim=0)
        weights = weights.to(block.device).double()
        return (weights @ block.double()) / weights.sum()

    def sensitivity(self, clip_norm: float, n: float, relation: Relation) -> float:
        """Return ``C / n``, twice that under replace-one; ``n`` is a public constant (R2)."""
        return relation.change(clip_norm) / n
