"""Epsilon by the privacy loss distribution."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from privfl.accounting._cache import Cache
from privfl.accounting._losses import (
    LARGEST_EXPONENT,
    TAIL,
    Losses,
    any_of,
    compose,
    ends_of,
    rounded_down,
    rounded_up,
)
from privfl.accounting._pairs import Pair, pairs_of
from privfl.core import Relation

if TYPE_CHECKING:
    import dp_accounting as dp

Parts = Sequence[tuple[Pair, int]]

# How far below the true delta sums and Fourier transforms come out, a step. Against the closed
# form: up to 6e-15 for one step, 2e-18 a step for a hundred thousand.
ROUNDING = 1e-14

FINEST_UP = 1e-4  # rounding up errs by the square of the grid: finer changes no digit that is shown
FINEST_DOWN = 1e-5  # and at most a tenth over the number of releases: it errs by .01 grid a release
MOST_UP, MOST_DOWN = 1 << 19, 1 << 20  # points: 10 ms, and twice that, a transform
LEAST = 2.0**-22  # on a finer grid, the rounding of a profile outweighs its bends
COARSEST = 0.05  # beyond, Renyi's bound is as good

_one_round = Cache[tuple[object, ...], Losses](n_bytes=128 << 20, size=lambda one: one.n_bytes)
_composed = Cache[tuple[object, ...], Losses](n_bytes=64 << 20, size=lambda one: one.n_bytes)


def pld_epsilon(
    twins: "Counter[dp.DpEvent]", delta: float, relation: Relation, group: int = 1
) -> float:
    """Return the bound from the composed loss distribution, rounded up; infinite where none is.

    Meiser & Mohammadi 2018 (https://eprint.iacr.org/2017/1034), Koskela et al. 2020
    (https://arxiv.org/abs/1906.03049). What rounding may hide is taken off ``delta``. The grid is
    as coarse as half a million points demand, so time and memory are bounded at any noise.

    Args:
        twins: events already converted by `zero_out_twins`.
        delta: in (0, 1).
        relation: the relation they were converted from.
        group: how many units change together.
    """
    left = delta - TAIL - ROUNDING * twins.total()
    ways = _ways(twins, relation, group)
    if not ways or max(map(_out_of_reach, ways)) >= left:
        return math.inf
    grid = _grid(ways, FINEST_UP, MOST_UP // group)  # a group's mixture has as many normals
    if grid > COARSEST:
        return math.inf
    return max(_sum(parts, rounded_up, grid).epsilon(left) for parts in ways)


def pld_lower(twins: "Counter[dp.DpEvent]", delta: float, relation: Relation) -> float | None:
    """Return a lower end: what the same pairs cost with losses rounded down; ``None`` without.

    It bounds how loose `pld_epsilon` is, not how much a release leaks.
    """
    ways = _ways(twins, relation, group=1)
    if not ways:
        return None
    grid = _grid(ways, min(FINEST_DOWN, 0.1 / twins.total()), MOST_DOWN)
    more = delta + TAIL + ROUNDING * twins.total()
    return max(_sum(parts, rounded_down, grid).epsilon(more) for parts in ways)


def _ways(twins: "Counter[dp.DpEvent]", relation: Relation, group: int) -> list[Parts]:
    """Return the pairs of all releases in one direction, and in the other where that differs."""
    pairs = [(pairs_of(event, relation, group), n) for event, n in twins.items()]
    if not all(both for both, _ in pairs):
        return []
    there, back = ([(both[way], n) for both, n in pairs] for way in (0, 1))
    return [there] if there == back else [there, back]


def _out_of_reach(parts: Parts) -> float:
    """Return the chance that some loss is beyond what is worth a number."""
    end = np.array([LARGEST_EXPONENT])
    return any_of((float(pair.above(end)[0][0]), n) for pair, n in parts)


def _grid(ways: Sequence[Parts], finest: float, most: int) -> float:
    """Return the finest grid, by doublings, on which nothing has more than ``most`` points."""
    grid = finest
    for parts in ways:
        fine = min(_width(pair) for pair, _ in parts) / 1000
        grid = min(grid, 2 ** math.floor(math.log2(max(fine, LEAST))))
    for parts in ways:
        widest = max(_composed_width(parts), *(_width(pair) for pair, _ in parts))
        while widest > most * grid:
            grid *= 2
    return grid


def _width(pair: Pair) -> float:
    """Return how far apart the losses of one release are, as far as they can be represented."""
    low, high = pair.span
    return min(high, LARGEST_EXPONENT) - max(low, -LARGEST_EXPONENT)


def _composed_width(parts: Parts) -> float:
    """Return about how far apart those of the sum are, from 500 points a release."""
    step = min(max(_width(pair) for pair, _ in parts) / 500 + LEAST, COARSEST)
    start, end = ends_of([(_round(pair, rounded_up, step), n) for pair, n in parts])
    return (end - start) * step


def _sum(parts: Parts, rounded: Callable[[Pair, float], Losses], grid: float) -> Losses:
    key = (rounded, grid, *parts)
    return _composed(key, lambda: compose([(_round(pair, rounded, grid), n) for pair, n in parts]))


def _round(pair: Pair, rounded: Callable[[Pair, float], Losses], grid: float) -> Losses:
    return _one_round((rounded, grid, pair), lambda: rounded(pair, grid))
