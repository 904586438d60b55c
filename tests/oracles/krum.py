"""Krum of Blanchard et al. 2017, in exact arithmetic."""

import struct
from fractions import Fraction


def squared_distance(a, b):
    return sum((Fraction(x) - Fraction(y)) ** 2 for x, y in zip(a, b, strict=True))


def krum_scores(rows, f):
    """For each row the sum of squared distances to its n - f - 2 nearest others."""
    n = len(rows)
    scores = []
    for i in range(n):
        others = sorted(squared_distance(rows[i], rows[j]) for j in range(n) if j != i)
        scores.append(sum(others[: n - f - 2]))
    return scores


def krum(rows, f):
    """The row of least score, the first of equals in the order given."""
    scores = krum_scores(rows, f)
    return rows[scores.index(min(scores))]


def in_byte_order(rows, code="f"):
    """Sort rows by the bytes they have as little-endian floats (``f``) or doubles (``d``)."""
    return sorted(rows, key=lambda row: struct.pack(f"<{len(row)}{code}", *row))
