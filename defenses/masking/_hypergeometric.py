"""How likely it is to draw many of the few: tails of the hypergeometric distribution."""

from math import inf, lgamma, log, log2

_NEGLIGIBLE = 1e-18  # of the largest term: below what a float of the sum resolves


def log2_tail(population: int, marked: int, draws: int, least: int) -> float:
    """Return log2 of the chance that ``draws`` without replacement hit ``least`` marked or more.

    The terms are summed from the largest outwards by their ratios, so that no tail is too small.

    >>> round(log2_tail(4, 1, 2, 1), 9), log2_tail(4, 1, 2, 2)
    (-1.0, -inf)
    """
    lowest, highest = max(least, draws + marked - population, 0), min(marked, draws)
    if lowest > highest:
        return -inf
    mode = (draws + 1) * (marked + 1) // (population + 2)
    peak = min(max(lowest, mode), highest)
    rest = population - marked - draws
    total, term = 1.0, 1.0
    for i in range(peak, highest):
        term *= (marked - i) * (draws - i) / ((i + 1) * (rest + i + 1))
        if term < _NEGLIGIBLE:
            break
        total += term
    term = 1.0
    for i in range(peak, lowest, -1):
        term *= i * (rest + i) / ((marked - i + 1) * (draws - i + 1))
        if term < _NEGLIGIBLE:
            break
        total += term
    return min(_log2_chance(population, marked, draws, peak) + log2(total), 0.0)


def _log2_chance(population: int, marked: int, draws: int, hits: int) -> float:
    ways = _log_ways(marked, hits) + _log_ways(population - marked, draws - hits)
    return (ways - _log_ways(population, draws)) / log(2)


def _log_ways(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
