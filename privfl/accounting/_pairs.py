"""The two distributions that are hardest to tell apart: what a release looks like to neighbours."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from privfl.accounting._gaussians import Array, Joining, Leaving, Replaced, grouped
from privfl.core import Relation

if TYPE_CHECKING:
    import dp_accounting as dp

# Units in a group, above which mixing so many Gaussians takes seconds a release.
LARGEST_GROUP = 64


class Pair(Protocol):
    """Two distributions P and Q, by the loss ``log P(x) / Q(x)`` of an ``x`` drawn from P."""

    @property
    def span(self) -> tuple[float, float]:
        """The losses between which P has all but a negligible mass."""

    def above(self, loss: Array) -> tuple[Array, Array]:
        """Return the mass of P above each loss, and ``exp(loss)`` times that of Q."""

    def below(self, loss: Array) -> tuple[Array, Array]:
        """Return the same at or below each loss."""


def pairs_of(twin: "dp.DpEvent", relation: Relation, group: int = 1) -> tuple[Pair, ...]:
    """Return the dominating pairs of a release, one each way; none where none is known.

    Every output distribution of neighbours is at most as far apart as one of them (Zhu et al.
    2022, https://arxiv.org/abs/2106.08567), composed as often as the release, one way throughout.

    Args:
        twin: an event converted by `zero_out_twins`.
        relation: the relation it was converted from.
        group: how many units change together; under zero-out and add/remove all of them leave,
            or all come.
    """
    import dp_accounting as dp

    if type(twin) is dp.GaussianDpEvent:
        z = twin.noise_multiplier / group
        return Leaving.of(z, 1.0), Joining.of(z, 1.0)
    if type(twin) is dp.LaplaceDpEvent:
        return (Laplace(twin.noise_multiplier / group),) * 2
    if type(twin) is dp.RandomizedResponseDpEvent:
        return _answers(twin, relation) if group == 1 else ()
    if type(twin) is dp.PoissonSampledDpEvent:
        return _sampled(twin.event.noise_multiplier, twin.sampling_probability, relation, group)
    return ()


def _sampled(z: float, rate: float, relation: Relation, group: int) -> tuple[Pair, ...]:
    if relation is Relation.REPLACE_ONE:
        return (Replaced.of(z, rate),) * 2 if group == 1 else ()
    if group == 1:
        return Leaving.of(z, rate), Joining.of(z, rate)
    return grouped(z, rate, group) if group <= LARGEST_GROUP else ()


@dataclass(frozen=True)
class Laplace:
    """Laplace noise of scale ``b`` around 0 and around 1, which is its own reverse."""

    b: float

    @property
    def span(self) -> tuple[float, float]:
        """The losses, all of them."""
        return -1 / self.b, 1 / self.b

    def above(self, loss: Array) -> tuple[Array, Array]:
        """Return the mass of P above each loss, and ``exp(loss)`` times that of Q."""
        below = self._below(loss)
        short, far = loss < -1 / self.b, loss >= 1 / self.b
        upper = np.where(short, 1.0, np.where(far, 0.0, 1 - below))
        return upper, np.where(short, np.exp(loss), np.where(far, 0.0, below))

    def below(self, loss: Array) -> tuple[Array, Array]:
        """Return the same at or below each loss."""
        below = self._below(loss)
        short, far = loss < -1 / self.b, loss >= 1 / self.b
        upper = np.where(short, 0.0, np.where(far, 1.0, below))
        rest = np.where(short, 0.0, np.where(far, np.exp(loss), np.exp(loss) - below))
        return upper, rest

    def _below(self, loss: Array) -> Array:
        """Return the mass of P beyond ``x = (1 - b loss) / 2``, where the loss is smaller.

        Times ``exp(loss)``, that of Q on the other side is the same.
        """
        return np.exp((np.minimum(loss, 1 / self.b) - 1 / self.b) / 2) / 2


@dataclass(frozen=True)
class Answers:
    """Finitely many outputs: their chances under P and under Q."""

    upper: tuple[float, ...]
    lower: tuple[float, ...]

    @property
    def span(self) -> tuple[float, float]:
        """The losses, all of them."""
        losses = self._losses()
        return float(losses.min()), float(losses.max())

    def above(self, loss: Array) -> tuple[Array, Array]:
        """Return the mass of P above each loss, and ``exp(loss)`` times that of Q."""
        over = self._losses() > loss[:, None]
        return over @ np.array(self.upper), np.exp(loss) * (over @ np.array(self.lower))

    def below(self, loss: Array) -> tuple[Array, Array]:
        """Return the same at or below each loss."""
        under = self._losses() <= loss[:, None]
        return under @ np.array(self.upper), np.exp(loss) * (under @ np.array(self.lower))

    def _losses(self) -> Array:
        return np.log(self.upper) - np.log(self.lower)


def _answers(event: "dp.DpEvent", relation: Relation) -> tuple[Pair, ...]:
    """Return the pairs of randomised response; under zero-out the other input is a fair die."""
    p, k = event.noise_parameter, event.num_buckets
    true, other = 1 - p + p / k, p / k
    if relation is Relation.REPLACE_ONE:
        rest = (p * (k - 2) / k,) if k > 2 else ()
        return (Answers((true, other, *rest), (other, true, *rest)),) * 2
    honest, die = (true, (k - 1) * other), (1 / k, (k - 1) / k)
    return Answers(honest, die), Answers(die, honest)
