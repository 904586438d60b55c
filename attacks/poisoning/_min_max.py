"""As far as an honest update could be."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from privfl.attacks.poisoning._poisoning import UpdatePoisoning
from privfl.core import require

Direction = Literal["unit", "std", "sign"]


@dataclass(frozen=True)
class MinMax(UpdatePoisoning):
    """Send the honest mean plus the largest step that no distance betrays.

    The vector is ``mean + gamma * p`` with the largest gamma for which it is no further from any
    honest update than the two honest ones furthest apart (Shejwalkar and Houmansadr 2021,
    https://doi.org/10.14722/ndss.2021.24498). Where they search for gamma, it is solved for here:
    the smallest of m roots of quadratics, which no bracket caps.

    Attributes:
        direction: p is minus the mean's ``unit`` vector, minus the ``std`` of each coordinate, or
            minus the mean's ``sign``.

    >>> MinMax(n_byzantine=1)(torch.tensor([[1.0], [3.0]]))
    tensor([[1.]])
    """

    _: KW_ONLY
    n_byzantine: int
    direction: Direction = "unit"

    def __post_init__(self) -> None:
        """Refuse a direction that is none of the three."""
        super().__post_init__()
        words = get_args(Direction)
        require(self.direction in words, f"direction must be one of {words}", repr(self.direction))

    def strength(self, n: int) -> str:
        """Say what bounds the step."""
        del n
        along = "" if self.direction == "unit" else f", along {self.direction}"
        return f"as far as honest updates are apart{along}"

    def vector(self, honest: Tensor, n: int) -> Tensor:
        """Step from the mean to the border: (m, d) -> (d,)."""
        del n
        mean = honest.mean(dim=0)
        step = self._step(honest, mean)
        return mean + _largest(honest - mean, step) * step

    def _step(self, honest: Tensor, mean: Tensor) -> Tensor:
        if self.direction == "std":
            return -honest.std(dim=0, correction=0)
        if self.direction == "sign":
            return -mean.sign()
        return -torch.nn.functional.normalize(mean, dim=0, eps=torch.finfo(mean.dtype).tiny)


def _largest(rows: Tensor, step: Tensor) -> float:
    """Return the largest gamma with ``|gamma * step - x| <= D`` for all centred rows x (m, d).

    D is the largest distance of two rows. For each x, ``gamma^2 |p|^2 - 2 gamma <p, x> + |x|^2 -
    D^2 <= 0`` up to its larger root, which exists: x is at most D from the mean.
    """
    square = float(step @ step)
    if len(rows) < 2 or square == 0:
        return 0.0
    slack = torch.pdist(rows).max() ** 2 - (rows**2).sum(dim=1)
    along = rows @ step
    roots = (along + (along**2 + square * slack.clamp(min=0)).sqrt()) / square
    return float(roots.min())
