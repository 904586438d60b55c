"""Epsilon of Gaussians without sampling, exactly."""

import math

from privfl.core import require, require_count, require_positive

# The profile is below Q(40) < 1e-349 at this point, so every positive float delta lies before it.
TAIL = 40.0


def gaussian_epsilon(noise_multiplier: float, delta: float, count: int = 1) -> float:
    """Return epsilon of ``count`` releases with Gaussian noise, each of the same multiplier.

    Together they are Gaussian DP with ``mu = sqrt(count) / noise_multiplier`` (Dong et al. 2019,
    https://arxiv.org/abs/1905.02383, corollary 3.3), whose exact profile is Balle & Wang 2018
    (https://arxiv.org/abs/1805.06530, theorem 8). It is one number for adaptive releases too.

    Args:
        noise_multiplier: standard deviation over the L2 distance between neighbours.
        delta: in (0, 1).
        count: the number of releases.

    Raises:
        ValueError: ``noise_multiplier`` is not positive, ``delta`` not in (0, 1), or ``count``
            not a whole number.

    Guarantees:
        - It is exact to rounding for multipliers from 1e-3 to 1e3 and delta down to 1e-300.
        - It falls with the multiplier and with delta, and grows with the count.
        - ``count`` releases at ``z`` cost what one costs at ``z / sqrt(count)``.

    >>> round(gaussian_epsilon(1.0, delta=1e-5), 6)
    4.377178
    """
    require_positive("noise_multiplier", noise_multiplier)
    require_count("count", count)
    require_delta(delta)
    return epsilon_of_mu(math.sqrt(count) / noise_multiplier, delta)


def require_delta(delta: float) -> None:
    """Raise a ValueError unless ``delta`` lies strictly between 0 and 1."""
    ok = isinstance(delta, int | float) and 0 < delta < 1
    fix = "Use less than one over the number of units, such as 1e-5"
    require(ok, "delta must be strictly between 0 and 1", repr(delta), fix)


def epsilon_of_mu(mu: float, delta: float) -> float:
    """Return the least epsilon of ``mu``-Gaussian DP at ``delta``.

    The search runs over ``x = epsilon / mu - mu / 2``, where the profile has its bend near zero
    whatever ``mu`` is, and ends on the safe side of the root.
    """
    if math.erf(mu / math.sqrt(8)) <= delta:  # the profile at epsilon = 0: total variation
        return 0.0
    if math.isinf(mu):
        return math.inf
    low, high, target = -mu / 2, TAIL, math.log(delta)
    for _ in range(100):  # more halvings than a float has bits
        middle = (low + high) / 2
        low, high = (low, middle) if log_delta(middle, mu) <= target else (middle, high)
    return mu * (high + mu / 2)


def log_delta(x: float, mu: float) -> float:
    """Return the log of the profile ``Q(x) - exp(epsilon) Q(x + mu)``, ``epsilon = mu (x + mu/2)``.

    ``Q`` is the upper tail of a standard normal and ``R = Q / density`` its Mills ratio. As the
    densities at ``x`` and ``x + mu`` differ by exactly ``exp(epsilon)``, the profile is
    ``Q(x) (1 - R(x + mu) / R(x))``: nothing overflows, and nothing cancels that matters.
    """
    from scipy.special import erfcx, log_ndtr

    ratio = erfcx((x + mu) / math.sqrt(2)) / erfcx(x / math.sqrt(2))
    ratio = min(float(ratio), 1 - 2**-53)  # a ratio rounded to 1 would make the release free
    return float(log_ndtr(-x)) + math.log1p(-ratio)
