"""The same number from every group."""

from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from privfl.core import Relation, require, require_count
from privfl.crypto import Stream
from privfl.sampling._fixed_size import FixedSize
from privfl.sampling._sampling import Sampling


@dataclass(frozen=True)
class Stratified(Sampling):
    """Draw ``each`` different units from every stratum, so that no group is ever missing.

    A plain mean over the sample gives all strata the same say, however large they are.

    Strata must be public, such as a region or a kind of device. A label that follows from the data
    (the most frequent class of a client, say) is a private value: the draw would publish it.

    Amplified under replace-one only, as a sample of ``each`` out of the smallest stratum. Where one
    unit's data is replaced its stratum stays. Fix the draws from the other strata: what is left is
    a `FixedSize` draw out of its own stratum. A mixture over those draws, which do not depend on
    the data, is no easier to tell apart than its worst member, and of ``each`` out of more units
    less is learnt.

    Args:
        strata: the public group of each unit.
        each: how many units are drawn from every group.

    Guarantees:
        - Every sample holds exactly ``each`` units of every stratum.
        - Within a stratum every such set is equally likely, whatever the others are.

    >>> sampling = Stratified(("north", "north", "south", "north", "south"), each=1)
    >>> sampling.expected(5), sampling.smallest
    (2.0, 2)
    """

    strata: tuple[Hashable, ...]
    each: int

    def __post_init__(self) -> None:
        """Refuse a stratum with fewer units than are drawn from it."""
        require_count("each", self.each, least=1)
        object.__setattr__(self, "strata", tuple(self.strata))
        require(len(self.strata) > 0, "strata must hold the group of each unit", "none")
        fix = "Draw fewer, or join small strata"
        least = f"Every stratum must hold at least each = {self.each} units"
        require(self.smallest >= self.each, least, dict(self._counts), fix)

    @property
    def smallest(self) -> int:
        """Units of the smallest stratum."""
        return min(self._counts.values())

    @property
    def _counts(self) -> Counter[Hashable]:
        return Counter(self.strata)

    def draws(self, n: int, steps: int, generator: Stream) -> Iterator[Tensor]:
        """Draw from each stratum in turn, each step."""
        self._require_all(n)
        groups = [
            torch.tensor([k for k, stratum in enumerate(self.strata) if stratum == name])
            for name in self._counts
        ]
        for _ in range(steps):
            rows = [group[generator.permutation(len(group))[: self.each]] for group in groups]
            yield torch.cat(rows).sort().values

    def expected(self, n: int) -> float:
        """Return ``each`` times the number of strata."""
        del n
        return float(self.each * len(self._counts))

    def accounted(
        self, event: object, n: int, steps: int, relation: Relation | str
    ) -> tuple[object, int]:
        """Return ``steps`` draws from the smallest stratum; as they are where no theorem holds."""
        self._require_all(n)
        return FixedSize(self.each).accounted(event, self.smallest, steps, relation)

    def amplifies(self, relation: Relation | str) -> bool:
        """Under replace-one, unless all of the smallest stratum take part always."""
        return self.smallest > self.each and FixedSize(self.each).amplifies(relation)

    def _require_all(self, n: int) -> None:
        require(
            n == len(self.strata), f"strata must be one for each of {n} units", len(self.strata)
        )
