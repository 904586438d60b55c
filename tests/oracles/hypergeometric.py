"""Tails of the hypergeometric distribution, in exact fractions."""

from fractions import Fraction
from math import comb, inf, log2


def tail(population, marked, draws, least):
    """P[at least ``least`` marked among ``draws``], every draw counted."""
    hits = range(max(least, 0), min(marked, draws) + 1)
    ways = sum(comb(marked, i) * comb(population - marked, draws - i) for i in hits)
    return Fraction(ways, comb(population, draws))


def log2_of(chance):
    """log2 of a fraction of any size: that of a whole number has no smallest."""
    return log2(chance.numerator) - log2(chance.denominator) if chance else -inf
