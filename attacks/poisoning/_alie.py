"""A little beside the honest mean, in every coordinate."""

import math
from dataclasses import KW_ONLY, dataclass
from statistics import NormalDist

from torch import Tensor

from privfl.attacks.poisoning._poisoning import UpdatePoisoning
from privfl.core import require


@dataclass(frozen=True)
class ALIE(UpdatePoisoning):
    """Send the honest mean minus ``z`` standard deviations of each coordinate.

    "A little is enough" (Baruch et al. 2019, https://arxiv.org/abs/1902.06156): the vector stays
    inside the honest spread, nearer the mean than some honest rows. Left to the formula z depends
    on n and may be 0, in which case the attack is none, or below: a report must say z. Standard
    deviations divide by m, not by m - 1.

    Attributes:
        z: None takes the paper's `z_for` the clients at hand.

    >>> [round(ALIE(n_byzantine=f).z_for(10), 2) for f in (1, 2, 3, 4)]
    [-0.14, 0.0, 0.18, 0.43]
    >>> import torch
    >>> ALIE(n_byzantine=1, z=1.5)(torch.tensor([[1.0], [3.0]]))
    tensor([[0.5000]])
    """

    _: KW_ONLY
    n_byzantine: int
    z: float | None = None

    def __post_init__(self) -> None:
        """Refuse a z that is no number."""
        super().__post_init__()
        wanted = "z must be a finite number, or None for the formula"
        require(self.z is None or math.isfinite(self.z), wanted, self.z)

    def z_for(self, n: int) -> float:
        """Return ``z`` if given, else ``Phi^-1((n-f-s)/(n-f))`` with ``s = floor(n/2 + 1) - f``.

        s is how many honest clients must be further out for a majority to back the attackers.

        Raises:
            ValueError: where s < 1: the attackers are a majority, and z would be infinite.
        """
        if self.z is not None:
            return self.z
        honest = n - self.n_byzantine
        needed = n // 2 + 1 - self.n_byzantine
        require(
            0 < needed < honest,
            "ALIE's formula needs 0 < s < n - f, for n clients with f attackers among them and "
            "s = floor(n/2 + 1) - f",
            f"n = {n}, f = {self.n_byzantine}, s = {needed}",
            "Give z",
        )
        return NormalDist().inv_cdf((honest - needed) / honest)

    def strength(self, n: int) -> str:
        """Name z, which is 0.00 where the attack sends the honest mean."""
        return f"z = {self.z_for(n):.2f}"

    def vector(self, honest: Tensor, n: int) -> Tensor:
        """Step aside from the mean: (m, d) -> (d,)."""
        return honest.mean(dim=0) - self.z_for(n) * honest.std(dim=0, correction=0)
