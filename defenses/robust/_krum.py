"""The update with the nearest neighbours."""

import math
from dataclasses import dataclass

from torch import Tensor

from privfl.core import Relation
from privfl.defenses.robust._distances import squared_distances
from privfl.defenses.robust._robust_rule import RobustRule


@dataclass(frozen=True, kw_only=True)
class Krum(RobustRule):
    """Pick the update whose nearest neighbours are nearest.

    Scores each row by the sum of squared distances to its ``n - n_byzantine - 2`` nearest others
    and returns the best one (Blanchard et al. 2017, https://arxiv.org/abs/1703.02757, section 4).
    It needs n >= 2 n_byzantine + 3. Of equal scores the first row in the order of bytes wins.

    Guarantees:
        - The result is one of the rows, so its norm is at most the longest row's.
        - It is (f, kappa)-robust with ``kappa`` as below.
        - One client moves it by at most ``2C``, under every relation.

    >>> import torch
    >>> Krum(n_byzantine=1)(torch.tensor([[0.0], [0.1], [0.2], [0.4], [9.0]]))
    tensor([0.1000])
    """

    n_byzantine: int

    @property
    def min_rows(self) -> int:
        """Attackers that stand together must still need an honest neighbour or two: 2f + 3."""
        return 2 * self.n_byzantine + 3

    def mixture(self, statistic: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return a 1 at the picked row: (n, n) -> (1, n)."""
        del weights
        n = len(statistic)
        others = squared_distances(statistic).fill_diagonal_(math.inf)
        nearest = others.sort(dim=1).values[:, : n - self.n_byzantine - 2]
        scores = nearest.sum(dim=1).tolist()
        picked = min(range(n), key=scores.__getitem__)  # the first of equals; argmin takes any
        mixture = statistic.new_zeros(1, n)
        mixture[0, picked] = 1
        return mixture

    def kappa(self, n: int) -> float:
        """Return ``(n-f)/(n-2f-1) (1 + sqrt(2(n-f-2)/(n-f-1)))^2``, proven for these neighbours.

        Let S be the n - f rows, m their mean, V their variance, k = n - f - 2. Averaged over S, a
        row's k nearest in S are at most ``2V (n-f)k/(n-f-1)`` away in sum, so the winner's score is
        no more. The winner and its neighbours hold at least n - 2f - 1 rows of S, and the triangle
        inequality in the mean over these gives |F - m| as the two terms above.
        """
        self.require_rows(n)
        kept = n - self.n_byzantine
        near = math.sqrt(2 * (kept - 2) / (kept - 1))
        return kept / (kept - self.n_byzantine - 1) * (1 + near) ** 2

    def stretch(self, n: float) -> float:
        """Return 1: the result is one of the rows."""
        del n
        return 1.0

    def sensitivity(self, clip_norm: float, n: float, relation: Relation) -> float:
        """Return ``2C``: one client can turn the choice from a row to any other (rule R2)."""
        del n, relation
        return 2 * clip_norm
