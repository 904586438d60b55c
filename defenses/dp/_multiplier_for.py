"""How much noise a number of passes needs."""

from functools import lru_cache

from privfl.core import Relation, require, require_positive
from privfl.sampling import Sampling


@lru_cache(maxsize=64)  # a loop that wraps its model anew each round asks the same again
def multiplier_for(
    sampling: Sampling, n: int, passes: int, relation: Relation, epsilon: float, delta: float
) -> float:
    """Return the noise with which ``passes`` over ``n`` records cost ``epsilon`` at most.

    See `privfl.accounting.calibrate`: at most one part in 1000 more noise than needed.
    """
    from dp_accounting import GaussianDpEvent

    from privfl.accounting import calibrate

    require_positive("target_epsilon", epsilon)
    require(0 < delta < 1, "target_delta must lie between 0 and 1", delta)

    def drawn(multiplier: float) -> tuple[object, int]:
        steps = passes * sampling.steps_of(n)
        return sampling.accounted(GaussianDpEvent(multiplier), n, steps, relation)

    _, count = drawn(1.0)
    return calibrate(lambda z: drawn(z)[0], epsilon, delta, relation, count)
