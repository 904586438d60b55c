"""Nearest-neighbour mixing of Allouah et al. 2023, in exact arithmetic."""

from fractions import Fraction

from oracles.krum import squared_distance


def nnm(rows, f):
    """Replace each row by the mean of its n - f nearest, itself included: -> n lists of d.

    Of equal distances the first in the order given is nearer.
    """
    n = len(rows)
    mixed = []
    for i in range(n):
        by_distance = sorted(range(n), key=lambda j: (squared_distance(rows[i], rows[j]), j))
        nearest = [rows[j] for j in by_distance[: n - f]]
        columns = zip(*nearest, strict=True)
        mixed.append([sum(map(Fraction, column)) / (n - f) for column in columns])
    return mixed
