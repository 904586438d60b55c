"""Poisson sampling."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from privfl.core import Relation, require, require_positive
from privfl.crypto import Stream
from privfl.sampling._sampling import Sampling


@dataclass(frozen=True, repr=False)
class Poisson(Sampling):
    """Let each unit join each step by a coin of its own.

    Give the expected ``size`` of a sample or the ``rate`` of the coin; the other one follows from
    the number of units. Where that number is private (add/remove), give both. The sum is divided
    by ``size``, never by the realised one.

    Guarantees:
        - Coins are independent between units and between steps; samples may be empty.
        - Amplified under every relation (Mironov et al. 2019, https://arxiv.org/abs/1908.10530;
          under replace-one by the privacy loss distribution only).

    >>> Poisson(size=32).rate_of(320)
    0.1
    """

    size_varies: ClassVar[bool] = True

    size: float | None = None
    rate: float | None = None

    def __post_init__(self) -> None:
        """Refuse neither, or a coin that is none."""
        one = self.size is not None or self.rate is not None
        require(one, "Poisson takes size= or rate=", "neither")
        if self.size is not None:
            require_positive("size", self.size)
        if self.rate is not None:
            good = isinstance(self.rate, int | float) and 0 < self.rate <= 1
            require(good, "rate must be in (0, 1]", repr(self.rate))

    def __repr__(self) -> str:
        """Write it as it was written."""
        given = {"size": self.size, "rate": self.rate}
        told = ", ".join(f"{k}={v!r}" for k, v in given.items() if v is not None)
        return f"Poisson({told})"

    @property
    def hides_n(self) -> bool:
        """Where both are given."""
        return self.size is not None and self.rate is not None

    def rate_of(self, n: int) -> float:
        """Return the coin for ``n`` units."""
        if self.rate is not None:
            return self.rate
        size = self.size or 0.0
        require(size <= n, f"size must be at most the number of units, {n}", self.size)
        return size / n

    def draws(self, n: int, steps: int, generator: Stream) -> Iterator[Tensor]:
        """Flip ``n`` coins a step."""
        rate = self.rate_of(n)
        for _ in range(steps):
            # uniforms are above 0, so a rate r hits with probability r and a rate 1 always
            yield (generator.uniform((n,)) <= rate).nonzero().flatten()

    def expected(self, n: int) -> float:
        """Return ``size``, or ``rate`` times ``n``."""
        return self.rate_of(n) * n if self.size is None else float(self.size)

    def accounted(
        self, event: object, n: int, steps: int, relation: Relation | str
    ) -> tuple[object, int]:
        """Return ``steps`` Poisson-sampled events."""
        from dp_accounting import PoissonSampledDpEvent

        del relation
        return PoissonSampledDpEvent(self.rate_of(n), event), steps

    def amplifies(self, relation: Relation | str) -> bool:
        """Under every relation, unless everybody joins always."""
        del relation
        return self.rate != 1
