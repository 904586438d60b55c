"""From an event to a bound on epsilon."""

import math
from collections import Counter
from typing import TYPE_CHECKING

from privfl.accounting._closed_form import epsilon_of_mu, require_delta
from privfl.accounting._interval import MEANINGLESS, Interval
from privfl.accounting._leaves import joint_mu, leaves_of
from privfl.accounting._pld import has_pld, pld_epsilon
from privfl.accounting._rdp import rdp_epsilon
from privfl.accounting._relations import zero_out_twins
from privfl.core import Relation

if TYPE_CHECKING:
    import dp_accounting as dp


def epsilon_of(
    event: object, delta: float, relation: Relation | str = Relation.ZERO_OUT, count: int = 1
) -> Interval:
    """Bound epsilon of ``count`` times ``event``, the least of the bounds that can be had.

    Gaussians without sampling are exact. Sampled ones, Laplace noise, randomised response and
    mixtures take the Renyi bound first, and the privacy loss distribution where epsilon is below
    about 100; above, it would take minutes and gigabytes to say that nothing is guaranteed.

    Args:
        event: a ``dp_accounting.DpEvent``. Its noise multiplier is the standard deviation over
            the most one unit contributes, whatever the relation: ``sigma / C``. Sampling in it is
            an amplification against an adversary who does not learn the sample (rule R12).
        delta: in (0, 1).
        relation: which datasets are neighbours; see `privfl.core.Relation`.
        count: how often the event happens, adaptively or not.

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
    import dp_accounting as dp

    relation = Relation.of(relation)
    require_delta(delta)
    leaves = leaves_of(event, count)
    if dp.NonPrivateDpEvent() in leaves:
        return Interval(None, math.inf, "non-private")
    twins = zero_out_twins(leaves, relation)
    if all(type(twin) is dp.GaussianDpEvent for twin in twins):
        return Interval(None, epsilon_of_mu(joint_mu(twins), delta), "closed form")
    bounds = _bounds(twins, delta, relation)
    method = min(bounds, key=bounds.__getitem__)
    return Interval(None, bounds[method], method)


def _bounds(twins: "Counter[dp.DpEvent]", delta: float, relation: Relation) -> dict[str, float]:
    bounds = {
        "closed form": _unamplified_epsilon(twins, delta),
        "RDP": rdp_epsilon(twins, delta, relation),
    }
    size = min(bounds.values())
    if math.isinf(bounds["RDP"]):
        # Poisson sampling under replace-one has no Renyi bound; its zero-out twin tells the size.
        size = min(size, rdp_epsilon(twins, delta, Relation.ZERO_OUT))
    if size < MEANINGLESS and has_pld(twins):
        bounds["PLD"] = pld_epsilon(twins, delta, relation, grid=1e-4 if size < 20 else 1e-3)
    return bounds


def _unamplified_epsilon(twins: "Counter[dp.DpEvent]", delta: float) -> float:
    """Return the bound with all sampling left out; infinite where something is not Gaussian.

    A sampled Gaussian is a mixture over samples, each no worse than the Gaussian on all the data.
    """
    import dp_accounting as dp

    inner: Counter[dp.DpEvent] = Counter()
    for twin, count in twins.items():
        inner[getattr(twin, "event", twin)] += count
    gaussian = all(type(event) is dp.GaussianDpEvent for event in inner)
    return epsilon_of_mu(joint_mu(inner), delta) if gaussian else math.inf
