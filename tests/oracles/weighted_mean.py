"""The mean over those who are there, in exact arithmetic (McMahan et al. 2017, algorithm 1)."""

from fractions import Fraction


def weighted_mean(rows, counts, there=None, *, total=None):
    """The sum of ``count * row`` over those who are there, over their counts or over ``total``."""
    there = range(len(rows)) if there is None else there
    columns = range(len(rows[0]))
    divisor = sum(Fraction(counts[k]) for k in there) if total is None else Fraction(total)
    sums = [sum(Fraction(counts[k]) * Fraction(rows[k][j]) for k in there) for j in columns]
    return [float(column / divisor) for column in sums]


def mean(rows, there=None, *, total=None):
    return weighted_mean(rows, [1] * len(rows), there, total=total)
