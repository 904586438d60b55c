"""One sampled Gaussian release: the profile by summing the definition over a fine grid.

``delta(epsilon) = integral of max(0, p - exp(epsilon) q)``, for the pair of output densities that
neighbours give; and epsilon by bisection.
"""

import math
from collections.abc import Callable

import numpy as np


def normal(x: np.ndarray, mean: float, std: float) -> np.ndarray:
    return np.exp(-((x - mean) ** 2) / (2 * std**2)) / (std * np.sqrt(2 * np.pi))


def pairs(rate: float, z: float, relation: str) -> list[Callable[[np.ndarray], tuple]]:
    """The densities of neighbours' outputs, each way; the sample holds the unit with ``rate``."""

    def mixture(x: np.ndarray, at: float) -> np.ndarray:
        return (1 - rate) * normal(x, 0, z) + rate * normal(x, at, z)

    if relation == "replace-one":  # the unit's contribution is +1 here and -1 there
        return [lambda x: (mixture(x, 1.0), mixture(x, -1.0))]
    return [
        lambda x: (mixture(x, 1.0), normal(x, 0, z)),
        lambda x: (normal(x, 0, z), mixture(x, 1.0)),
    ]


def epsilon_of_one_release(rate: float, z: float, delta: float, relation: str) -> float:
    x = np.linspace(-1 - 12 * z, 1 + 12 * z, 100_001)
    return max(_epsilon(*pair(x), x[1] - x[0], delta) for pair in pairs(rate, z, relation))


def _epsilon(p: np.ndarray, q: np.ndarray, step: float, delta: float) -> float:
    low, high = 0.0, 200.0
    for _ in range(40):
        middle = (low + high) / 2
        excess = np.maximum(p - np.exp(middle) * q, 0).sum() * step
        low, high = (middle, high) if excess > delta else (low, middle)
    return high


def delta_of_group(epsilon: float, rate: float, z: float, size: int) -> float:
    """``size`` units leave one release: their number in the sample is binomial."""
    x = np.linspace(-12 * z, size + 12 * z, 400_001)
    there = sum(
        math.comb(size, k) * rate**k * (1 - rate) ** (size - k) * normal(x, k, z)
        for k in range(size + 1)
    )
    gone = normal(x, 0, z)
    ways = (there - np.exp(epsilon) * gone, gone - np.exp(epsilon) * there)
    return max(float(np.maximum(way, 0).sum() * (x[1] - x[0])) for way in ways)
