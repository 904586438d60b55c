"""The coordinate-wise trimmed mean of Yin et al. 2018, in exact arithmetic."""

from fractions import Fraction


def trimmed_mean(rows, f):
    """Sort each coordinate, drop f at each end, average the rest: n lists of d -> d fractions."""
    out = []
    for column in zip(*rows, strict=True):
        kept = sorted(map(Fraction, column))[f : len(rows) - f]
        out.append(sum(kept) / len(kept))
    return out
