"""The Walsh-Hadamard transform by its definition, one product of a row and the vector a coordinate.

The entry of Sylvester's matrix in row i and column j is 1 where i and j share an even number of
one-bits, and -1 where that number is odd; the matrix of size b is divided by the root of b.
"""

import math


def coordinate(x, i):
    """Coordinate ``i`` of the transform of ``x``, whose length is a power of two."""
    signs = ((-1) ** (i & j).bit_count() for j in range(len(x)))
    return math.fsum(s * v for s, v in zip(signs, x, strict=True)) / math.sqrt(len(x))


def transform(x):
    """The whole transform, in len(x)^2 steps."""
    return [coordinate(x, i) for i in range(len(x))]
