"""How far from robust a rule was on given rows, by the definition of Allouah et al. 2023."""

import math
from fractions import Fraction
from itertools import combinations


def worst_ratio(rows, made, f):
    """The largest ``|F - m|^2 / variance`` over every set of n - f rows; 0/0 is 0, x/0 infinite."""
    worst = 0
    for chosen in combinations(rows, len(rows) - f):
        n = len(chosen)
        mean = [sum(map(Fraction, column)) / n for column in zip(*chosen, strict=True)]
        variance = sum(_square(row, mean) for row in chosen) / n
        error = _square(made, mean)
        ratio = error / variance if variance else (math.inf if error else 0)
        worst = max(worst, ratio)
    return float(worst)


def _square(a, b):
    return sum((Fraction(x) - y) ** 2 for x, y in zip(a, b, strict=True))
