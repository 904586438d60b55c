"""How much noise an epsilon needs."""

import math
from collections.abc import Callable

from privfl.accounting._closed_form import TAIL, gaussian_epsilon, require_delta
from privfl.accounting._epsilon import epsilon_of, quick_epsilon
from privfl.core import Relation, require, require_count, require_positive

LEAST, MOST = 1e-3, 1e5  # noise multipliers between which `calibrate` searches
PRECISION = 1e-3  # relative
CAP = 10.0  # of a log ratio of epsilons: more says nothing of where the target lies


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


def calibrate(
    event_of: Callable[[float], object],
    epsilon: float,
    delta: float,
    relation: Relation | str = Relation.ZERO_OUT,
    count: int = 1,
) -> float:
    """Return the least noise multiplier whose event costs at most ``epsilon``, to one in 1000.

    Renyi's bound brackets it, in milliseconds; the loss distribution narrows the bracket, in as
    few steps as the false position of logarithms needs.

    Args:
        event_of: from a noise multiplier to an event, which must cost less with more noise.
        epsilon: what ``count`` of them may cost by `epsilon_of`; at most 100.
        delta: in (0, 1).
        relation: which datasets are neighbours.
        count: how often the event happens.

    Raises:
        ValueError: a target is impossible, or no multiplier up to 1e5 is enough.

    Guarantees:
        - `epsilon_of` the result's event is at most ``epsilon``.
        - One part in 1000 less noise costs more, or would be less than 1e-3.

    >>> from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    >>> def step(noise_multiplier):
    ...     return PoissonSampledDpEvent(0.01, GaussianDpEvent(noise_multiplier))
    >>> z = calibrate(step, epsilon=2.0, delta=1e-5, count=1000)
    >>> print(f"{z:.2f}", epsilon_of(step(z), delta=1e-5, count=1000))
    0.96 at most 2 (PLD)
    """
    require_positive("epsilon", epsilon)
    require(epsilon <= 100, "epsilon must be at most 100, above which it means nothing", epsilon)

    def quick(z: float) -> float:
        return quick_epsilon(event_of(z), delta, relation, count)

    def excess(z: float) -> float:
        cost = epsilon_of(event_of(z), delta, relation, count).upper
        return min(max(math.log(max(cost, 1e-300) / epsilon), -CAP), CAP)

    start = _quick_start(quick, epsilon)
    at_start = excess(start)
    fix = "Release less often, or allow more"
    wanted = f"some noise multiplier up to {MOST:g} must cost at most epsilon = {epsilon}"
    require(at_start <= 0, wanted, "more", fix)
    return _narrowed(excess, *_bracketed(excess, start, at_start))


def _quick_start(quick: Callable[[float], float], epsilon: float) -> float:
    """Return a multiplier of which the quick bounds say that it is enough; else the largest.

    The search starts at 1, because Renyi's bound is slow where noise is small.
    """
    low = high = 1.0
    while high < MOST and quick(high) > epsilon:
        low, high = high, min(2 * high, MOST)
    while low == high > LEAST or (low > LEAST and quick(low) <= epsilon):
        low, high = max(low / 2, LEAST), low
    while high > 1.05 * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if quick(middle) <= epsilon else (middle, high)
    return high


def _bracketed(
    excess: Callable[[float], float], high: float, at_high: float
) -> tuple[float, float, float, float]:
    """Go down from a multiplier that is enough, in growing strides, to one that is not."""
    stride = 1.05
    while high > LEAST:
        low = max(high / stride, LEAST)
        at_low = excess(low)
        if at_low > 0:
            return low, at_low, high, at_high
        high, at_high, stride = low, at_low, stride**2
    return LEAST, CAP, LEAST, at_high


def _narrowed(
    excess: Callable[[float], float], low: float, at_low: float, high: float, at_high: float
) -> float:
    """Return a multiplier that is enough, at most `PRECISION` above one that is not.

    False position (the Illinois rule) on logarithms, on which cost is nearly a straight line. Each
    guess goes a little to the far side, so that the bracket closes from both ends.
    """
    while high > low * (1 + PRECISION):
        share = min(max(at_low / (at_low - at_high), 0.02), 0.98)
        guess = low * (high / low) ** share
        aside = (1 + PRECISION / 3) if abs(at_high) < at_low else (1 - PRECISION / 3)
        guess = min(max(guess * aside, low * (1 + PRECISION / 3)), high / (1 + PRECISION / 3))
        at_guess = excess(guess)
        if at_guess > 0:
            low, at_low, at_high = guess, at_guess, at_high / 2
        else:
            high, at_high, at_low = guess, at_guess, at_low / 2
    return high
