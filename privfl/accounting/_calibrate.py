"""How much noise an epsilon needs."""

import math

from privfl.accounting._closed_form import TAIL, gaussian_epsilon, require_delta
from privfl.core import require_count, require_positive


def noise_multiplier_for(epsilon: float, delta: float, count: int = 1) -> float:
    """Return the least noise multiplier with which ``count`` Gaussians cost at most ``epsilon``.

    The analytic calibration of Balle & Wang 2018 (https://arxiv.org/abs/1805.06530, algorithm 1):
    the inverse of `gaussian_epsilon`. No sampling; twice this under replace-one.

    Raises:
        ValueError: ``epsilon`` is not positive, ``delta`` not in (0, 1), or ``count`` below one.

    Guarantees:
        - ``gaussian_epsilon`` of the result is at most ``epsilon``.
        - A multiplier smaller by one part in 1e9 costs more than ``epsilon``.

    >>> round(noise_multiplier_for(epsilon=1.0, delta=1e-5), 6)
    3.730632
    """
    require_positive("epsilon", epsilon)
    require_count("count", count, least=1)
    require_delta(delta)
    low, high = (math.sqrt(count) / mu for mu in _bracket(epsilon))
    for _ in range(64):  # more halvings of the logarithm than a float has bits
        middle = math.sqrt(low) * math.sqrt(high)
        enough = gaussian_epsilon(middle, delta, count) <= epsilon
        low, high = (low, middle) if enough else (middle, high)
    return high


def _bracket(epsilon: float) -> tuple[float, float]:
    """Return a ``mu`` that costs more than ``epsilon`` at every delta, and one that costs less.

    They solve ``epsilon / mu - mu / 2 = -TAIL`` and ``= TAIL``, the ends of the profile.
    """
    root = math.hypot(TAIL, math.sqrt(2 * epsilon))
    return root + TAIL, 2 * epsilon / (root + TAIL)
