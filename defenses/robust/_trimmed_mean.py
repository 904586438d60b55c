"""A mean without the extremes."""

import math
from dataclasses import dataclass

from torch import Tensor

from privfl.core import Relation
from privfl.defenses.robust._robust_rule import RobustRule
from privfl.parts._ranked import ranked


@dataclass(frozen=True, kw_only=True)
class TrimmedMean(RobustRule):
    """Drop the ``n_byzantine`` lowest and highest values of each coordinate and average the rest.

    From Yin et al. 2018 (https://arxiv.org/abs/1803.01498, definition 2), with a count in place of
    a fraction. It needs n >= 2 n_byzantine + 1.

    Guarantees:
        - Each coordinate lies between honest values while at most ``n_byzantine`` rows are not.
        - It is (f, kappa)-robust with ``kappa`` as below.
        - One client moves it by at most ``C / (n - 2f)`` (zero-out), twice that (replace-one).

    >>> import torch
    >>> TrimmedMean(n_byzantine=1)(torch.tensor([[0.0], [1.0], [2.0], [99.0]]))
    tensor([1.5000])
    """

    n_byzantine: int

    @property
    def min_rows(self) -> int:
        """Some value must be left: 2f + 1."""
        return 2 * self.n_byzantine + 1

    def columns(self, block: Tensor, weights: Tensor | None = None) -> Tensor:
        """Average what is between the extremes, in float64: (n, b) -> (b,)."""
        del weights
        kept = ranked(block)[:, self.n_byzantine : len(block) - self.n_byzantine]
        return kept.double().mean(dim=1)

    def kappa(self, n: int) -> float:
        """Return ``6f/(n-2f) (1 + f/(n-2f))`` (Allouah et al. 2023, https://arxiv.org/abs/2302.01772)."""
        self.require_rows(n)
        ratio = self.n_byzantine / (n - 2 * self.n_byzantine)
        return 6 * ratio * (1 + ratio)

    def stretch(self, n: float) -> float:
        """Return ``sqrt(n / (n - 2f))``.

        Each coordinate is a mean of n - 2f of its values, so its square is at most the sum of the
        n squares over n - 2f; summed over coordinates that is ``n C^2 / (n - 2f)``.
        """
        return math.sqrt(n / (n - 2 * self.n_byzantine))

    def sensitivity(self, clip_norm: float, n: float, relation: Relation) -> float | None:
        """Return the change of a row over ``n - 2f``; under add/remove n is private: None (R2).

        With the other rows fixed, the kept sum of a coordinate is a constant plus the row's value
        clamped between two of theirs, and a clamp does not lengthen a difference.
        """
        if relation is Relation.ADD_REMOVE:
            return None
        return relation.change(clip_norm) / (n - 2 * self.n_byzantine)
