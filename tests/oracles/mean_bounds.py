"""Gaffke's bound by drawing the weighted means, and Wilson's interval from its formula."""

import numpy as np


def upper_end(values, tail=0.025, draws=400_000, seed=0):
    """Quantile of means weighted by spacings of uniforms, over the values and one more at 1."""
    x = np.sort(np.append(values, 1.0))
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.random((draws, len(x) - 1)), axis=1)
    ends = np.pad(cuts, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1)))
    return float(np.quantile(np.diff(ends, axis=1) @ x, 1 - tail))


def wilson(successes, n, z=1.959964):
    """Ends of Wilson's score interval."""
    p = successes / n
    centre, reach = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (centre - reach) / (1 + z**2 / n), (centre + reach) / (1 + z**2 / n)
