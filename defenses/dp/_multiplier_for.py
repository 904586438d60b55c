"""How much noise a number of passes needs."""

import math
from functools import lru_cache

from privfl.core import Relation, require, require_count, require_positive
from privfl.sampling import Sampling

_CLOSE = 1.002  # an evaluation costs a third of a second, and noise a fifth of a percent


@lru_cache(maxsize=64)  # a loop that wraps its model anew each round asks the same again
def multiplier_for(
    sampling: Sampling, n: int, passes: int, relation: Relation, epsilon: float, delta: float
) -> float:
    """Return the noise with which ``passes`` over ``n`` records cost ``epsilon`` at most.

    At most a fifth of a percent more noise than needed.
    """
    from dp_accounting import GaussianDpEvent

    from privfl.accounting import epsilon_of

    require_positive("target_epsilon", epsilon)
    require_count("passes", passes, least=1)
    require(0 < delta < 1, "target_delta must lie between 0 and 1", delta)

    def enough(multiplier: float) -> bool:
        steps = passes * sampling.steps_of(n)
        event, count = sampling.accounted(GaussianDpEvent(multiplier), n, steps, relation)
        return epsilon_of(event, delta, relation, count).upper <= epsilon

    low = high = 1.0
    while not enough(high):
        low, high = high, 2 * high
        require(high < 2**30, "Some noise must give target_epsilon", "none", "Raise target_delta")
    while low == high:
        low /= 2
        if enough(low):
            high = low
    while high > low * _CLOSE:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
