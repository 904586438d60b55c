"""Prefer those whose loss is high."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NoReturn

import torch
from torch import Tensor

from privfl.core import CompositionError, Relation, require, require_count
from privfl.crypto import Stream
from privfl.sampling._sampling import Sampling


@dataclass(frozen=True)
class PowerOfChoice(Sampling):
    """Draw ``candidates`` units, of which the ``size`` with the largest losses take part.

    Learns faster at first and ends where the hard units pull it (Cho et al. 2020,
    https://arxiv.org/abs/2010.01243, section 3). There a candidate is drawn in proportion to its
    number of examples; here all are drawn alike, since such numbers are nobody's to publish.

    `draws` gives the candidates. Each reports its loss of the model at hand, in clear, and
    `chosen` keeps the largest: whoever lies takes part, but a loss that is not finite helps nobody.

    Never accounted (rule R12): who is chosen depends on the losses, which is a release by itself,
    and a unit that is chosen displaces another one, twice what a single contribution moves.

    Guarantees:
        - Every set of candidates is equally likely.
        - With as many candidates as ``size`` it draws as `FixedSize` does.

    >>> choice = PowerOfChoice(candidates=4, size=2)
    >>> choice.chosen(torch.tensor([3, 5, 6, 9]), losses=[0.1, 2.0, 0.7, math.nan])
    tensor([5, 6])
    """

    by_loss: ClassVar[bool] = True

    candidates: int
    size: int

    def __post_init__(self) -> None:
        """Refuse an empty choice, or a larger one than there are candidates."""
        require_count("size", self.size, least=1)
        require_count("candidates", self.candidates, least=self.size)

    def draws(self, n: int, steps: int, generator: Stream) -> Iterator[Tensor]:
        """Take the candidates from the front of a fresh permutation, each step."""
        wanted = f"candidates must be at most the number of units, {n}"
        require(self.candidates <= n, wanted, self.candidates)
        for _ in range(steps):
            yield generator.permutation(n)[: self.candidates].sort().values

    def chosen(self, candidates: Tensor, losses: Sequence[float]) -> Tensor:
        """Keep those with the ``size`` largest losses: (k,) -> (at most ``size``,), in their order.

        Of equal losses the first ones count as larger, and one that is not finite as the lowest.
        """
        wanted = f"losses must be one for each of the {len(candidates)} candidates"
        require(len(losses) == len(candidates), wanted, len(losses))
        finite = [loss if math.isfinite(loss) else -math.inf for loss in losses]
        # `sorted` keeps the order of equals, so the first of them stay in front
        best = sorted(range(len(finite)), key=lambda k: -finite[k])[: self.size]
        return candidates[torch.tensor(sorted(best), dtype=torch.int64, device=candidates.device)]

    def expected(self, n: int) -> float:
        """Return ``size``: the candidates that were not chosen add nothing."""
        del n
        return float(self.size)

    def accounted(self, event: object, n: int, steps: int, relation: Relation | str) -> NoReturn:
        """Refuse: no theorem covers a choice that the losses make."""
        del event, n, steps, relation
        raise CompositionError(
            "R12",
            (self,),
            f"{self!r} chooses by loss, which is a release of its own and displaces another unit",
            "Use FixedSize(size=…) or Poisson(size=…) with a privacy claim",
        )
