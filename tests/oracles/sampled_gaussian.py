"""One sampled Gaussian release: the profile by summing the definition over a fine grid.

``delta(epsilon) = integral of max(0, p - exp(epsilon) q)``, for the pair of output densities that
neighbours give; and epsilon by bisection.
"""

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
