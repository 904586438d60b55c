"""From an event to a bound on epsilon."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from privfl.accounting._closed_form import epsilon_of_mu, require_delta
from privfl.accounting._interval import Interval
from privfl.accounting._leaves import joint_mu, leaves_of
from privfl.accounting._pld import pld_epsilon, pld_lower
from privfl.accounting._rdp import rdp_epsilon
from privfl.accounting._relations import without_sampling, zero_out_twins
from privfl.core import Relation

if TYPE_CHECKING:
    import dp_accounting as dp


def epsilon_of(
    event: object,
    delta: float,
    relation: Relation | str = Relation.ZERO_OUT,
    count: int = 1,
    *,
    lower: bool = False,
) -> Interval:
    """Bound epsilon of ``count`` times ``event``, the least of the bounds that can be had.

    Gaussians without sampling are exact. Sampled ones, Laplace noise, randomised response and
    mixtures take the least of Renyi's bound and the privacy loss distribution's. Fixed-size
    samples and searches have Renyi's alone.

    A ``RepeatAndSelectDpEvent`` is a search of which the best trial alone is released. Charge it
    only where the number of trials was drawn from its distribution, and where no trial's output,
    progress bar included, was seen before selection; else compose the trials (rule R15).

    Args:
        event: a ``dp_accounting.DpEvent``. Its noise multiplier is the standard deviation over
            the most one unit contributes, whatever the relation: ``sigma / C``. Sampling in it is
            an amplification against an adversary who does not learn the sample (rule R12).
        delta: in (0, 1).
        relation: which datasets are neighbours; see `privfl.core.Relation`.
        count: how often the event happens, adaptively or not.
        lower: find a lower end too, which takes seconds for sampled events. It bounds the slack of
            the accountant, not the leakage of what was released; ``None`` where none is known.

    Raises:
        ValueError: ``delta`` is not in (0, 1), or no bound is known for this kind of event or for
            this kind under ``relation``. Fixed-size sampling needs replace-one.

    Guarantees:
        - The upper end is a valid bound, never an estimate.
        - ``count`` equals a loop, a list and a ``SelfComposedDpEvent`` of the same event.
        - A Gaussian under replace-one costs what half its multiplier costs under zero-out.
        - Sampling never costs more than leaving it out.
        - It returns within seconds at any multiplier from 1e-3 to 1e3.

    >>> from dp_accounting import GaussianDpEvent, NonPrivateDpEvent
    >>> print(epsilon_of(GaussianDpEvent(2.0), delta=1e-5, count=4))
    at most 4.38 (closed form)
    >>> epsilon_of(NonPrivateDpEvent(), delta=1e-5)
    Interval(lower=None, upper=inf, method='non-private')
    """
    relation = Relation.of(relation)
    twins = twins_of(event, delta, relation, count)
    if twins is None:
        return Interval(None, math.inf, "non-private")
    exact = _exact(twins, delta)
    if exact is not None:
        return Interval(exact if lower else None, exact, "closed form")
    bounds = upper_ends(twins, delta, relation)
    method = min(bounds, key=bounds.__getitem__)
    low = pld_lower(twins, delta, relation) if lower else None
    return Interval(low if low is None else min(low, bounds[method]), bounds[method], method)


def bounds_of(
    event: object,
    delta: float,
    relation: Relation | str = Relation.ZERO_OUT,
    count: int = 1,
    *,
    lower: bool = False,
) -> Mapping[str, Interval]:
    """Return what each method says by itself, under the name of the method.

    `epsilon_of` is the least of them. ``"closed form"`` leaves sampling out. A method without a
    finite bound is absent, unless none has one.

    Args:
        event: as for `epsilon_of`, and so are the others.
        delta: in (0, 1).
        relation: which datasets are neighbours.
        count: how often the event happens.
        lower: find lower ends too, where there are any.

    Raises:
        ValueError: as `epsilon_of` does.

    >>> from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    >>> step = PoissonSampledDpEvent(0.01, GaussianDpEvent(1.0))
    >>> for interval in bounds_of(step, delta=1e-5, count=100).values():
    ...     print(interval)
    at most 0.719 (PLD)
    at most 1.22 (RDP)
    at most 91.9 (closed form)
    """
    relation = Relation.of(relation)
    twins = twins_of(event, delta, relation, count)
    if twins is None:
        return {"non-private": Interval(None, math.inf, "non-private")}
    if not twins:
        return {"closed form": Interval(0.0 if lower else None, 0.0, "closed form")}
    ends = upper_ends(twins, delta, relation)
    lows = {"closed form": _exact(twins, delta)} if lower else {}
    if lower:
        lows["PLD"] = pld_lower(twins, delta, relation)
    finite = [method for method in sorted(ends) if math.isfinite(ends[method])]
    return {m: Interval(lows.get(m), ends[m], m) for m in finite or ends}


def twins_of(
    event: object, delta: float, relation: Relation, count: int
) -> "Counter[dp.DpEvent] | None":
    """Return what the accountants get of a question; ``None`` where something is not private."""
    import dp_accounting as dp

    require_delta(delta)
    leaves = leaves_of(event, count)
    return None if dp.NonPrivateDpEvent() in leaves else zero_out_twins(leaves, relation)


def upper_ends(twins: "Counter[dp.DpEvent]", delta: float, relation: Relation) -> dict[str, float]:
    """Return the upper end that each method gives, perhaps infinite."""
    return quick_ends(twins, delta, relation) | {"PLD": pld_epsilon(twins, delta, relation)}


def quick_epsilon(event: object, delta: float, relation: Relation | str, count: int = 1) -> float:
    """Return the upper end without the loss distribution: within milliseconds, and looser."""
    relation = Relation.of(relation)
    twins = twins_of(event, delta, relation, count)
    return math.inf if twins is None else min(quick_ends(twins, delta, relation).values())


def quick_ends(twins: "Counter[dp.DpEvent]", delta: float, relation: Relation) -> dict[str, float]:
    """Return the upper ends of the methods that take no time."""
    plain = without_sampling(twins)
    return {
        "closed form": math.inf if plain is None else epsilon_of_mu(joint_mu(plain), delta),
        "RDP": rdp_epsilon(twins, delta, relation),
    }


def _exact(twins: "Counter[dp.DpEvent]", delta: float) -> float | None:
    """Return the exact epsilon of Gaussians without sampling; ``None`` for anything else."""
    plain = without_sampling(twins)
    return epsilon_of_mu(joint_mu(twins), delta) if plain == twins else None
