"""A figure again, by dp-accounting alone."""

from typing import TYPE_CHECKING, Any

from privfl.core import Relation
from privfl.ledger._reckoning import Whole

if TYPE_CHECKING:
    import dp_accounting as dp

NATIVE = {
    Relation.ZERO_OUT: "REPLACE_SPECIAL",
    Relation.REPLACE_ONE: "REPLACE_ONE",
    Relation.ADD_REMOVE: "ADD_OR_REMOVE_ONE",
}

RENYI_ONLY = ("WithoutReplacement", "RepeatAndSelect")  # they have no loss distribution


def reproduce(whole: Whole) -> list[str]:
    """Return lines of Python that print epsilon of these events, without privfl.

    The loss distribution's accountant doubles the distance under replace-one itself; Renyi's does
    not, and takes half the noise. Randomised response is composed one by one, since a count of it
    is not counted.

    >>> from dp_accounting import GaussianDpEvent
    >>> whole = Whole(frozenset({(GaussianDpEvent(2.0), 4)}), 1e-5, Relation.ZERO_OUT)
    >>> for line in reproduce(whole):
    ...     print(line)
    from dp_accounting import *
    from dp_accounting.pld import PLDAccountant
    accountant = PLDAccountant(neighboring_relation=NeighboringRelation.REPLACE_SPECIAL)
    accountant.compose(GaussianDpEvent(noise_multiplier=2.0), 4)
    print(accountant.get_epsilon(1e-05))
    """
    by_renyi = any(kind in repr(event) for event, _ in whole.events for kind in RENYI_ONLY)
    half = by_renyi and whole.relation is Relation.REPLACE_ONE
    module, kind = ("rdp", "RdpAccountant") if by_renyi else ("pld", "PLDAccountant")
    lines = [
        "from dp_accounting import *",
        *["from dp_accounting.dp_event import *"] * by_renyi,  # which also holds searches
        f"from dp_accounting.{module} import {kind}",
        f"accountant = {kind}(neighboring_relation=NeighboringRelation.{NATIVE[whole.relation]})",
    ]
    for event, n in sorted(whole.events, key=repr):
        lines += _composed(_halved(event) if half else event, n)
    return [*lines, f"print(accountant.get_epsilon({whole.delta!r}))"]


def _composed(event: "dp.DpEvent", n: int) -> list[str]:
    if "RandomizedResponse" in repr(event):
        return [f"for _ in range({n}):", f"    accountant.compose({event!r})"]
    return [f"accountant.compose({event!r}, {n})"]


def _halved(event: Any) -> Any:
    import attr

    if hasattr(event, "event"):
        return attr.evolve(event, event=_halved(event.event))
    return attr.evolve(event, noise_multiplier=event.noise_multiplier / 2)
