"""Shuffled passes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from privfl.core import Relation, require, require_count
from privfl.crypto import Stream
from privfl.sampling._sampling import Sampling


@dataclass(frozen=True)
class Shuffled(Sampling):
    """Deal all units into batches of ``size``, in a fresh order each pass, as a DataLoader does.

    Accounted without amplification: a unit is in one batch a pass, so a pass is one release of
    each unit, at full strength. Shuffling is *not* Poisson sampling: at the same noise the truth
    was measured up to ten times the epsilon that Poisson accounting prints. Where the number of
    units is private (add/remove) the cut into batches moves, and it is refused.

    >>> from dp_accounting import GaussianDpEvent
    >>> Shuffled(size=10).accounted(GaussianDpEvent(1.0), n=100, steps=25, relation="zero-out")
    (GaussianDpEvent(noise_multiplier=1.0), 3)
    """

    independent: ClassVar[bool] = False

    size: int

    def __post_init__(self) -> None:
        """Refuse an empty batch."""
        require_count("size", self.size, least=1)

    def draws(self, n: int, steps: int, generator: Stream) -> Iterator[Tensor]:
        """Cut permutations into batches; the last one of a pass may be smaller."""
        left: list[Tensor] = []
        for _ in range(steps):
            left = left or list(generator.permutation(n).split(self.size))
            yield left.pop(0)

    def expected(self, n: int) -> float:
        """Return ``size``."""
        del n
        return float(self.size)

    def steps_of(self, n: int) -> int:
        """Return the batches of one pass, the small last one included."""
        return math.ceil(n / self.size)

    def accounted(
        self, event: object, n: int, steps: int, relation: Relation | str
    ) -> tuple[object, int]:
        """Return one event for each pass that was begun."""
        private = Relation.of(relation) is Relation.ADD_REMOVE
        fix = "Use relation='zero-out', or Poisson(size=…, rate=…)"
        require(not private, "Shuffled batches need a public number of units", "add/remove", fix)
        return event, math.ceil(steps / self.steps_of(n))
