"""Pairs of mixtures of Gaussians: what sampled releases look like to neighbours."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mixture = tuple[tuple[float, float], ...]  # weight and mean of each normal

FAR = 10.0  # standard deviations: the mass beyond them, 8e-24, counts as an infinite loss


@dataclass(frozen=True)
class GaussianPair:
    """Hold two mixtures of normals of one width, whose log ratio grows with ``x``.

    Attributes:
        z: standard deviation of every normal.
        upper: weights and means of P, from which outputs are drawn.
        lower: weights and means of Q, which the adversary holds against P.
    """

    z: float
    upper: Mixture
    lower: Mixture

    @property
    def span(self) -> tuple[float, float]:
        """The losses between which P has all but a negligible mass."""
        means = [mean for _, mean in self.upper]
        ends = np.array([min(means) - FAR * self.z, max(means) + FAR * self.z])
        low, high = self.loss(ends)
        return float(low), float(high)

    def loss(self, x: Array) -> Array:
        """Return the log ratio of the densities of P and Q at each ``x``."""
        return self._log_density(x, self.upper) - self._log_density(x, self.lower)

    def cut(self, loss: Array) -> Array:
        """Return the ``x`` at which each loss is reached; infinite where it never is."""
        x = np.linspace(*self._ends(), 1 << 14)
        table = np.maximum.accumulate(self.loss(x))
        right = np.clip(np.searchsorted(table, loss), 1, len(x) - 1)
        low, high = x[right - 1], x[right]
        for _ in range(20):  # the profile errs by the square of what is left: far below a rounding
            middle = (low + high) / 2
            over = self.loss(middle) > loss
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        return np.where(loss < table[0], -math.inf, np.where(loss > table[-1], math.inf, low))

    def above(self, loss: Array) -> tuple[Array, Array]:
        """Return the mass of P above each loss, and ``exp(loss)`` times that of Q."""
        x = self.cut(loss)
        return self._masses(loss, lambda mean: (mean - x) / self.z)

    def below(self, loss: Array) -> tuple[Array, Array]:
        """Return the same at or below each loss."""
        x = self.cut(loss)
        return self._masses(loss, lambda mean: (x - mean) / self.z)

    def _masses(self, loss: Array, standard: Callable[[float], Array]) -> tuple[Array, Array]:
        from scipy.special import log_ndtr

        def log_mass(mixture: Mixture) -> Array:
            terms = [math.log(w) + log_ndtr(standard(mean)) for w, mean in mixture]
            return np.asarray(np.logaddexp.reduce(terms))

        return np.exp(log_mass(self.upper)), np.exp(loss + log_mass(self.lower))

    def _log_density(self, x: Array, mixture: Mixture) -> Array:
        """Return the log density over that of the normal around zero."""
        terms = [math.log(w) + (m * x - m * m / 2) / self.z**2 for w, m in mixture]
        return np.asarray(np.logaddexp.reduce(terms))

    def _ends(self) -> tuple[float, float]:
        means = [mean for _, mean in (*self.upper, *self.lower)]
        return min(means) - 1.5 * FAR * self.z, max(means) + 1.5 * FAR * self.z


class Leaving(GaussianPair):
    """One unit in the sample with probability ``rate``, against none: the exact inverse."""

    @classmethod
    def of(cls, z: float, rate: float) -> "Leaving":
        """Return the pair; a rate of one is no sampling."""
        return cls(z, _one_in(rate, 1.0), ((1.0, 0.0),))

    def cut(self, loss: Array) -> Array:
        """Return the ``x`` at which each loss is reached."""
        return self.z**2 * _unsampled(loss, self.upper[-1][0]) + 0.5


class Joining(GaussianPair):
    """The same the other way round: outputs are drawn without the unit."""

    @classmethod
    def of(cls, z: float, rate: float) -> "Joining":
        """Return the pair; a rate of one is no sampling."""
        return cls(z, ((1.0, 0.0),), _one_in(rate, -1.0))

    def cut(self, loss: Array) -> Array:
        """Return the ``x`` at which each loss is reached."""
        return -(self.z**2) * _unsampled(-loss, self.lower[-1][0]) - 0.5


class Replaced(GaussianPair):
    """One unit in the sample on one side or on the other, a distance of one apart."""

    @classmethod
    def of(cls, z: float, rate: float) -> "Replaced":
        """Return the pair, which is its own reverse."""
        return cls(z, _one_in(rate, 0.5), _one_in(rate, -0.5))

    def cut(self, loss: Array) -> Array:
        """Return the ``x`` at which each loss is reached.

        With ``t = x / (2 z^2) - loss / 2`` the equation reads
        ``sinh(t) = exp(1 / (8 z^2)) (1 - q) / q sinh(loss / 2)``.
        """
        rate = self.upper[-1][0]
        if rate == 1:
            return self.z**2 * loss
        ratio = math.log1p(-rate) - math.log(rate) + 1 / (8 * self.z**2)
        size = np.abs(loss) / 2
        with np.errstate(divide="ignore"):  # a loss of zero is reached at zero
            log_sinh = ratio + size + np.log(-np.expm1(-2 * size) / 2)
        # arcsinh(exp(y)) overflows where it has long become y + log 2
        t = np.where(
            log_sinh > 300, log_sinh + math.log(2), np.arcsinh(np.exp(np.minimum(log_sinh, 300)))
        )
        return 2 * self.z**2 * (np.sign(loss) * t + loss / 2)


def grouped(z: float, rate: float, size: int) -> tuple[GaussianPair, GaussianPair]:
    """Return the pairs of ``size`` units that leave, or come, together: binomially many sampled.

    Choquette-Choo et al. 2023 (https://arxiv.org/abs/2310.15526, corollary 4.7).
    """
    chances = [(_binomial(size, j, rate), j) for j in range(size + 1)]
    there = tuple((chance, float(j)) for chance, j in chances if chance > 0)
    alone: Mixture = ((1.0, 0.0),)
    return GaussianPair(z, there, alone), GaussianPair(z, alone, tuple((w, -m) for w, m in there))


def _binomial(size: int, j: int, rate: float) -> float:
    logs = j * math.log(rate) + (size - j) * math.log1p(-rate)
    return math.comb(size, j) * math.exp(logs)


def _one_in(rate: float, at: float) -> Mixture:
    return ((1.0, at),) if rate == 1 else ((1 - rate, 0.0), (rate, at))


def _unsampled(loss: Array, rate: float) -> Array:
    """Return the loss that sampling at ``rate`` turns into ``loss``; minus infinity where none.

    ``log(1 + (exp(loss) - 1) / rate)``, without overflow for a large loss.
    """
    with np.errstate(divide="ignore"):
        small = np.log1p(np.maximum(np.expm1(np.minimum(loss, 1.0)) / rate, -1.0))
        large = loss - math.log(rate) + np.log1p(-(1 - rate) * np.exp(-np.maximum(loss, 1.0)))
    return np.asarray(np.where(loss > 1, large, small))
