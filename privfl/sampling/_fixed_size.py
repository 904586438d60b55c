"""Samples of one size, without replacement."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from privfl.core import Relation, require, require_count
from privfl.crypto import Stream
from privfl.sampling._sampling import Sampling


@dataclass(frozen=True)
class FixedSize(Sampling):
    """Draw ``size`` different units each step, every such set being equally likely.

    Amplified under replace-one only (Wang et al. 2019, https://arxiv.org/abs/1808.00087): where a
    unit is zeroed the sample still shows the others, and no theorem is claimed. A unit that joins
    displaces another one, twice what a single contribution moves: add/remove is refused.

    >>> FixedSize(size=5).expected(100)
    5.0
    """

    size: int

    def __post_init__(self) -> None:
        """Refuse an empty sample."""
        require_count("size", self.size, least=1)

    def draws(self, n: int, steps: int, generator: Stream) -> Iterator[Tensor]:
        """Take the front of a fresh permutation, each step."""
        require(self.size <= n, f"size must be at most the number of units, {n}", self.size)
        for _ in range(steps):
            yield generator.permutation(n)[: self.size].sort().values

    def expected(self, n: int) -> float:
        """Return ``size``."""
        del n
        return float(self.size)

    def accounted(
        self, event: object, n: int, steps: int, relation: Relation | str
    ) -> tuple[object, int]:
        """Return ``steps`` events without replacement; as they are where no theorem holds."""
        from dp_accounting import SampledWithoutReplacementDpEvent

        private = Relation.of(relation) is Relation.ADD_REMOVE
        fix = "Use relation='replace-one', or Poisson(size=…, rate=…)"
        require(not private, "FixedSize needs a public number of units", "add/remove", fix)
        require(self.size <= n, f"size must be at most the number of units, {n}", self.size)
        if not self.amplifies(relation):
            return event, steps
        return SampledWithoutReplacementDpEvent(n, self.size, event), steps

    def amplifies(self, relation: Relation | str) -> bool:
        """Under replace-one."""
        return Relation.of(relation) is Relation.REPLACE_ONE
