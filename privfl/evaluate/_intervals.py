"""Intervals that decide verdicts: each end is wrong at most once in 40 times."""

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from privfl.core import require

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """Hold a figure with the ends of its 95 % interval.

    >>> print(Estimate(0.94, 0.698, 0.998))
    0.94 [0.70, 1.00]
    """

    value: float
    lower: float
    upper: float

    def __str__(self) -> str:
        """Print two decimals."""
        return f"{self.value:.2f} [{self.lower:.2f}, {self.upper:.2f}]"


def mean_interval(values: Tensor) -> Estimate:
    """Bound the mean of independent values in [0, 1]: (n,) -> an interval.

    A value is one victim (0 or 1) or one cohort (the share identified). The upper end is the .975
    quantile of a mean weighted by Dirichlet(1, …, 1) over the values and one more at 1; the lower
    end has one more at 0 (Gaffke 2005; Learned-Miller and Thomas 2019,
    https://arxiv.org/abs/1905.06208). For zeros and ones this is Clopper and Pearson's interval,
    with its full width at 0 of n, and for shares that vary little it is narrower. A t or bootstrap
    interval has no width at 0 of n. That it covers any distribution on [0, 1] is a conjecture
    that nobody has refuted; the tests check it by simulation.

    The density of a mean weighted so is the B-spline on the values as knots (Curry and Schoenberg
    1966, https://doi.org/10.1007/BF02788653), so the quantile is exact.

    >>> import torch
    >>> print(mean_interval(torch.zeros(16)))
    0.00 [0.00, 0.21]
    """
    x = values.detach().cpu().double().numpy()
    found = f"shape {x.shape}"
    require(x.ndim == 1 and len(x) > 0, "values must be (n,) with n above 0", found)
    inside = bool(np.all((x >= 0) & (x <= 1)))
    require(inside, "values must be from 0 to 1", "others")
    return Estimate(float(x.mean()), 1 - _upper_end(1 - x), _upper_end(x))


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Bound the difference of two independent figures from their own intervals (MOVER).

    Distances to the ends add in squares (Newcombe 1998; Zou and Donner 2008,
    https://doi.org/10.1002/sim.3095, equation 5).

    >>> print(difference(Estimate(0.9, 0.8, 1.0), Estimate(0.1, 0.0, 0.2)))
    0.80 [0.66, 0.94]
    """
    value = first.value - second.value
    below = math.hypot(first.value - first.lower, second.upper - second.value)
    above = math.hypot(first.upper - first.value, second.value - second.lower)
    return Estimate(value, value - below, value + above)


def paired_t(first: Tensor, second: Tensor) -> Estimate:
    """Bound the mean difference of pairs by Student's t: (n,) twice -> an interval.

    One pair has no interval: its ends are infinite.

    >>> import torch
    >>> print(paired_t(torch.tensor([0.91, 0.90, 0.92]), torch.tensor([0.81, 0.79, 0.83])))
    0.10 [0.08, 0.12]
    """
    from scipy import stats

    apart = (first.double() - second.double()).numpy()
    require(apart.ndim == 1 and len(apart) > 0, "pairs must be (n,), n above 0", apart.shape)
    require(bool(np.isfinite(apart).all()), "pairs must be finite", "NaN or Inf")
    value, n = float(apart.mean()), len(apart)
    if n == 1:
        return Estimate(value, -math.inf, math.inf)
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * apart.std(ddof=1) / math.sqrt(n)
    return Estimate(value, value - reach, value + reach)


def _upper_end(x: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    from scipy.interpolate import BSpline
    from scipy.optimize import brentq

    knots = np.sort(np.append(x, 1.0))
    n, low, high = len(x), float(knots[0]), float(knots[-1])
    if low == high:
        return high
    padding = np.ones(n)  # puts the outer knots inside the domain, where splines are evaluated
    padded = np.concatenate([low - padding, knots, high + padding])
    coefficients = np.zeros(2 * n + 1)
    coefficients[n] = n / (high - low)  # the one spline on `knots`, with integral 1
    share_below = BSpline(padded, coefficients, n - 1).antiderivative()
    beyond = (1 - CONFIDENCE) / 2
    return float(brentq(lambda t: share_below(t) - share_below(low) - (1 - beyond), low, high))
