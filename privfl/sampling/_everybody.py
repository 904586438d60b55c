"""No sampling."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from privfl.crypto import Stream
from privfl.sampling._sampling import Sampling


@dataclass(frozen=True)
class Everybody(Sampling):
    """Take every unit in every step.

    >>> Everybody().expected(10)
    10.0
    """

    def draws(self, n: int, steps: int, generator: Stream) -> Iterator[Tensor]:
        """Yield all units, each time."""
        del generator
        for _ in range(steps):
            yield torch.arange(n)

    def expected(self, n: int) -> float:
        """Return ``n``."""
        return float(n)
