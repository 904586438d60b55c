"""The distribution of a privacy loss on a grid, and its compositions."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from privfl.accounting._gaussians import Array
from privfl.accounting._pairs import Pair

Spectrum = npt.NDArray[np.complex128]

TAIL = 1e-15  # the mass that `compose` may lose at its ends
LARGEST_EXPONENT = 600.0  # exp of this is a float, and no epsilon above 100 means anything
SOME = 1e-300  # mass, so that there is some where all losses are infinite
OFFSET = 0.01  # of a cell, in `rounded_down`
ROUNDING = 1e-3  # of a cell: a thousand times what the rounding of its two masses can do


@dataclass(frozen=True, eq=False)
class Losses:
    """Hold the masses of losses ``grid * lowest``, ``grid * (lowest + 1)``, …, and of infinity."""

    grid: float
    lowest: int
    masses: Array = field(repr=False)
    infinite: float = 0.0
    _moments: dict[float, float] = field(default_factory=dict, repr=False)
    _spectra: dict[int, Spectrum] = field(default_factory=dict, repr=False)

    @property
    def losses(self) -> Array:
        """The finite losses, ascending."""
        return _points(self.grid, self.lowest, len(self.masses))

    @property
    def n_bytes(self) -> int:
        """What it holds in memory, spectra included."""
        return self.masses.nbytes + sum(kept.nbytes for kept in self._spectra.values())

    @cached_property
    def variance(self) -> float:
        """The variance of the finite losses."""
        losses = self.losses  # sums, not products of matrices, whose threads wait for each other
        mean = (losses * self.masses).sum()
        return float(((losses - mean) ** 2 * self.masses).sum())

    def log_moment(self, order: float) -> float:
        """Return ``log E[exp(order * loss)]`` over the finite losses."""
        if order not in self._moments:
            with np.errstate(divide="ignore"):
                terms = order * self.losses + np.log(np.maximum(self.masses, 0.0))
            top = float(terms.max())
            self._moments[order] = top + math.log(float(np.exp(terms - top).sum()))
        return self._moments[order]

    def spectrum(self, length: int) -> Spectrum:
        """Return the discrete Fourier transform of the masses, padded to ``length``."""
        from scipy.fft import rfft

        if length not in self._spectra:
            self._spectra.clear()  # of one length at a time: a count grows slowly
            self._spectra[length] = rfft(self.masses, length)
        return self._spectra[length]

    def epsilon(self, delta: float) -> float:
        """Return the least epsilon at which the profile is at most ``delta``, perhaps infinite.

        The profile, the sum of ``(1 - exp(epsilon - loss)) mass`` over the losses above epsilon,
        is linear in ``exp(epsilon)`` between the points of the grid.
        """
        losses = self.losses
        first, end = np.searchsorted(losses, [0.0, LARGEST_EXPONENT])
        infinite = self.infinite + float(self.masses[end:].sum())
        if infinite > delta:
            return math.inf
        losses, masses = losses[first:end], self.masses[first:end]
        upper = infinite + _sums_from(masses)
        lower = _sums_from(masses * np.exp(-losses))
        over = np.flatnonzero(upper - np.exp(losses) * lower > delta)
        k = int(over[-1]) + 1 if len(over) else 0  # the last: transforms leave noise at the ends
        if k == len(losses):
            return float(losses[-1]) if k else 0.0
        low = float(losses[k - 1]) if k else 0.0
        return _root(float(upper[k]), float(lower[k]), delta, low, float(losses[k]))


def _sums_from(values: Array) -> Array:
    """Return at each place the sum from there on, the small terms first."""
    return np.asarray(np.cumsum(values[::-1])[::-1])


def _root(upper: float, lower: float, delta: float, low: float, high: float) -> float:
    """Return where ``upper - exp(epsilon) lower`` is ``delta``, within a segment of the profile."""
    if upper <= delta:
        return low
    return high if lower <= 0 else min(max(low, math.log((upper - delta) / lower)), high)


def rounded_up(pair: Pair, grid: float) -> Losses:
    """Return losses on a grid whose profile is nowhere below that of ``pair``.

    Connecting the dots (Doroshenko et al. 2022, https://arxiv.org/abs/2207.04380, algorithm 1):
    the profile meets the true one at each point of the grid, and is linear in ``exp(epsilon)``
    between them. Its masses are second differences; where losses are negative they are taken of
    the profile less ``1 - exp(epsilon)``, which bends alike and does not cancel.
    """
    low, high = _ends(pair, grid)
    losses = _points(grid, low, high - low + 1)
    drawn, against = pair.above(losses)
    over = drawn - against
    drawn, against = pair.below(losses)
    under = against - drawn
    masses = np.where(losses < 0, _bends(under, grid), _bends(over, grid))
    first = under if losses[0] < 0 else over - 1
    masses[0] = (first[1] - first[0]) / math.expm1(grid) - first[0]
    masses[-1] = (over[-2] - over[-1]) * (1 + 1 / math.expm1(grid))
    masses[0] = max(masses[0], SOME)
    return Losses(grid, low, np.maximum(masses, 0.0), max(float(over[-1]), 0.0))


def rounded_down(pair: Pair, grid: float) -> Losses:
    """Return losses on a grid whose profile is nowhere above that of ``pair``.

    Outputs are merged by loss, one cell around each point of the grid, which is processing that
    the adversary may do; the loss of a cell is then rounded down. Cells stand a little high, so
    that nearly all round down to their own point and lose a hundredth of ``grid``, not half.
    """
    low, high = _ends(pair, grid)
    edges = _points(grid, low - 0.5 + OFFSET, high - low + 2)
    above, below = pair.above(edges), pair.below(edges)
    negative = edges[:-1] < 0  # on either side the tail that is small: differences keep digits
    drawn = np.where(negative, np.diff(below[0]), -np.diff(above[0]))
    small, large = np.exp(-edges) * below[1], np.exp(-edges) * above[1]
    against = np.where(negative, np.diff(small), -np.diff(large))
    cells = np.flatnonzero(drawn > 0)
    with np.errstate(divide="ignore"):
        loss = np.log(drawn[cells]) - np.log(np.maximum(against[cells], 0.0))
    places = np.minimum(np.floor(loss / grid - ROUNDING), low + cells).astype(int)
    places = np.maximum(places - low, 0)
    masses = np.asarray(np.bincount(places, drawn[cells], high - low + 1), dtype=np.float64)
    masses[-1] += above[0][-1]
    masses[0] = SOME  # what lies below the span has a loss of minus infinity here
    return Losses(grid, low, masses)


def _points(grid: float, lowest: float, count: int) -> Array:
    return np.asarray(grid * (lowest + np.arange(count)), dtype=np.float64)


def _ends(pair: Pair, grid: float) -> tuple[int, int]:
    """Return the grid's ends, one point beyond the span; what lies further is not representable."""
    low, high = (min(max(loss, -LARGEST_EXPONENT), LARGEST_EXPONENT) for loss in pair.span)
    return math.floor(low / grid) - 1, math.ceil(high / grid) + 1


def _bends(profile: Array, grid: float) -> Array:
    """Return the masses at the inner points that bend a profile; the two ends stay zero."""
    steps = np.diff(profile)
    bends = np.zeros(len(profile))
    # one divisor: two that do not match to the last digit lose a part in 1e12 of the mass
    bends[1:-1] = np.diff(steps) / math.expm1(grid) - steps[:-1]
    return bends


def compose(parts: Sequence[tuple[Losses, int]]) -> Losses:
    """Return the distribution of the sum: each of the losses so many times, on their common grid.

    One Fourier transform for all of them (Koskela et al. 2020, https://arxiv.org/abs/1906.03049).
    At most `TAIL` of the mass is cut off above, and what is cut off below comes back above.
    """
    if len(parts) == 1 and parts[0][1] == 1:
        return parts[0][0]
    lowest = sum(n * part.lowest for part, n in parts)
    start, end = ends_of(parts)
    longest = max(end - start, *(len(part.masses) for part, _ in parts), 2)
    length = 1 << (longest - 1).bit_length()  # a power of two: the transforms of parts serve again
    masses = np.roll(_sum_of(parts, length), -((start - lowest) % length))[: end - start]
    infinite = any_of((part.infinite, n) for part, n in parts)
    return Losses(parts[0][0].grid, start, masses, infinite)


def any_of(chances: Iterable[tuple[float, int]]) -> float:
    """Return the chance that at least one of so many independent things happens."""
    return -math.expm1(math.fsum(n * math.log1p(-min(p, 1 - 2**-53)) for p, n in chances))


def _sum_of(parts: Sequence[tuple[Losses, int]], length: int) -> Array:
    """Return the masses of the sum, wrapped around ``length``."""
    from scipy.fft import irfft

    product = _power(parts[0][0].spectrum(length), parts[0][1])
    for part, n in parts[1:]:
        product = product * _power(part.spectrum(length), n)
    return np.asarray(irfft(product, length))


def _power(spectrum: Spectrum, n: int) -> Spectrum:
    """Return a power by squaring: ten times as fast as the complex power of NumPy."""
    if n == 1:
        return spectrum
    half = _power(spectrum, n // 2)
    return half * half * spectrum if n % 2 else half * half


def ends_of(parts: Sequence[tuple[Losses, int]]) -> tuple[int, int]:
    """Return places on the grid between which the sum has all its mass but `TAIL`.

    By Chernoff's bound, ``P(sum > t) <= E[exp(order sum)] exp(-order t)``, and the same below.
    """
    low = sum(n * part.lowest for part, n in parts)
    high = sum(n * (part.lowest + len(part.masses) - 1) for part, n in parts)
    grid = parts[0][0].grid
    upper, lower = _chernoff(parts, 1) / grid, -_chernoff(parts, -1) / grid
    return max(low, math.floor(lower)), min(high, math.ceil(upper)) + 1


def _chernoff(parts: Sequence[tuple[Losses, int]], sign: int) -> float:
    """Return a bound on ``sign`` times the sum that is passed with chance ``TAIL / 2`` at most.

    Every order gives one, and it has one minimum; the search starts at a normal distribution's.
    """

    def bound(doublings: int) -> float:
        order = 2.0**doublings
        moment = math.fsum(n * part.log_moment(sign * order) for part, n in parts)
        return (moment - math.log(TAIL / 2)) / order

    spread = math.fsum(n * part.variance for part, n in parts)
    best = round(math.log2(8.4 / math.sqrt(spread))) if spread > 0 else 0  # sqrt(2 log(2 / TAIL))
    for step in (1, -1):
        while bound(best + step) < bound(best) and abs(best) < 60:
            best += step
    return bound(best)
