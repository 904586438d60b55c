"""Epsilon of several units that change together."""

import math
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from privfl.accounting._epsilon import epsilon_of, quick_ends, twins_of, upper_ends
from privfl.accounting._interval import Interval
from privfl.accounting._leaves import leaves_of, together
from privfl.accounting._pld import pld_epsilon
from privfl.accounting._rdp import rdp_epsilon
from privfl.accounting._relations import unsampled, with_noise, without_sampling
from privfl.core import Relation, require_count

if TYPE_CHECKING:
    import dp_accounting as dp

LEAST, MOST = 1e-6, 1000.0  # between which `_least` searches; neither end means anything
PRECISION = 1e-5


def group_epsilon_of(
    event: object,
    size: int,
    delta: float,
    relation: Relation | str = Relation.ZERO_OUT,
    count: int = 1,
) -> Interval:
    """Bound epsilon of ``size`` units that change together, such as all records of one client.

    Under zero-out and add/remove all of them leave, or all come; under replace-one each is
    replaced. Gaussians without sampling have ``size`` times the distance, exactly. Else the least
    of three bounds is returned: sampling left out; ``"PLD"``, where a binomial number of
    the units is in each sample (Choquette-Choo et al. 2023, https://arxiv.org/abs/2310.15526,
    corollary 4.7), for Poisson-sampled Gaussians and up to 64 units; and ``"steps"``, one unit
    after the other (Vadhan 2017, https://doi.org/10.1007/978-3-319-57048-8_7, lemma 2.2): if each
    step is ``(e, d)``-private, all are ``(size e, d (exp(size e) - 1) / (exp(e) - 1))``-private.

    Args:
        event: as for `epsilon_of`, with noise over the most that *one* unit contributes.
        size: the most units that change together.
        delta: in (0, 1), for all of them.
        relation: which datasets are neighbours.
        count: how often the event happens.

    Raises:
        ValueError: ``size`` is below one, or `epsilon_of` refuses the event.

    Guarantees:
        - One unit costs what `epsilon_of` says.
        - Gaussians without sampling cost what ``1 / size`` of their multiplier costs one unit.
        - It is at most what leaving the sampling out costs, and may be infinite.

    >>> from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    >>> print(group_epsilon_of(GaussianDpEvent(5.0), 5, delta=1e-5))
    at most 4.38 (closed form)
    >>> step = PoissonSampledDpEvent(0.01, GaussianDpEvent(1.0))
    >>> print(group_epsilon_of(step, 3, delta=1e-5, count=10))
    at most 1.3 (PLD)
    """
    require_count("size", size, least=1)
    relation = Relation.of(relation)
    twins = twins_of(event, delta, relation, count)
    if size == 1 or twins is None:
        return epsilon_of(event, delta, relation, count)
    bounds = _plain_ends(twins, size, delta, relation)
    if without_sampling(twins) != twins:
        bounds["steps"] = _steps(twins, size, delta, relation)
        by_mixtures = pld_epsilon(twins, delta, relation, size)
        bounds["PLD"] = min(bounds.get("PLD", math.inf), by_mixtures)
    method = min(bounds, key=bounds.__getitem__)
    return Interval(None, bounds[method], method)


def grouped(event: "dp.DpEvent", size: int) -> "dp.DpEvent":
    """Return one event that bounds ``event`` for ``size`` units that change together.

    They move a sum ``size`` times as far, so its noise counts for a ``size``-th; sampling is left
    out, which only loosens the bound. What is neither Gaussian nor Laplace noise bounds nothing.

    >>> from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    >>> grouped(PoissonSampledDpEvent(0.01, GaussianDpEvent(6.0)), 3).events[0].event
    GaussianDpEvent(noise_multiplier=2.0)
    """
    return together((_widened(leaf, size), n) for leaf, n in leaves_of(event).items())


def _widened(leaf: "dp.DpEvent", size: int) -> "dp.DpEvent":
    import dp_accounting as dp

    bare = unsampled(leaf)
    if type(bare) in (dp.GaussianDpEvent, dp.LaplaceDpEvent):
        return with_noise(bare, 1 / size)
    return leaf if size == 1 else dp.NonPrivateDpEvent()


def _plain_ends(
    twins: "Counter[dp.DpEvent]", size: int, delta: float, relation: Relation
) -> dict[str, float]:
    """Return what noise that is smaller by ``size`` costs, with any sampling left out."""
    import dp_accounting as dp

    plain = without_sampling(twins)
    near = twins if plain is None else plain
    if not all(type(twin) in (dp.GaussianDpEvent, dp.LaplaceDpEvent) for twin in near):
        return {"closed form": math.inf}
    wide: Counter[dp.DpEvent] = Counter()
    for twin, count in near.items():
        wide[with_noise(twin, 1 / size)] += count
    return quick_ends(wide, delta, relation) if plain else upper_ends(wide, delta, relation)


def _steps(twins: "Counter[dp.DpEvent]", size: int, delta: float, relation: Relation) -> float:
    """Return ``size e`` for the least ``e`` that is enough at the delta that is left for a step."""
    return min(
        _least(lambda d: rdp_epsilon(twins, d, relation), size, delta),
        _least(lambda d: pld_epsilon(twins, d, relation), size, delta),
    )


def _least(cost: Callable[[float], float], size: int, delta: float) -> float:
    """Return the least ``size e`` at which a step costs ``e`` or less; else infinity.

    More leaves less delta for a step, at which its bound may be infinite: so the search goes up
    from what a step costs at all of ``delta``, and not down.
    """

    def lacking(total: float) -> float:
        log_share = math.log(delta) + _log_expm1(total / size) - _log_expm1(total)
        return cost(math.exp(log_share)) - total / size if log_share > -700 else math.inf

    low, high = 0.0, max(size * cost(delta), LEAST)
    while high < MOST and 0 < lacking(high) < math.inf:
        low, high = high, 1.25 * high
    if high >= MOST or lacking(high) > 0:
        return math.inf
    while high - low > PRECISION * high:
        middle = (low + high) / 2
        low, high = (low, middle) if lacking(middle) <= 0 else (middle, high)
    return high


def _log_expm1(x: float) -> float:
    return x + math.log(-math.expm1(-x))
