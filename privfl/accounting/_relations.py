"""What a relation does to an event, before any accountant sees it."""

from collections import Counter
from typing import TYPE_CHECKING

from privfl.accounting._leaves import joint_mu, leaves_of, together
from privfl.core import Relation, require

if TYPE_CHECKING:
    import dp_accounting as dp


def zero_out_twins(leaves: "Counter[dp.DpEvent]", relation: Relation) -> "Counter[dp.DpEvent]":
    """Return the events whose noise, over the distance between neighbours, is that of ``leaves``.

    Multipliers are over the most one unit contributes. Under replace-one neighbours lie twice as
    far apart, so every multiplier is halved (rule R18); the other two relations change nothing.
    Gaussians without sampling become one. Accountants differ in whether they double the distance
    themselves, so none is asked to. Randomised response has no distance and stays as it is.

    Raises:
        ValueError: an event has no bound under ``relation``.
    """
    import dp_accounting as dp

    for leaf in leaves:
        _require_theorem(leaf, relation)
    shrink = 0.5 if relation is Relation.REPLACE_ONE else 1.0
    twins: Counter[dp.DpEvent] = Counter()
    for leaf, count in leaves.items():
        twins[with_noise(leaf, shrink)] += count
    plain = Counter({e: n for e, n in twins.items() if type(e) is dp.GaussianDpEvent})
    if plain:
        twins = twins - plain + Counter({dp.GaussianDpEvent(1 / joint_mu(plain)): 1})
    return twins


def without_sampling(twins: "Counter[dp.DpEvent]") -> "Counter[dp.DpEvent] | None":
    """Return the Gaussians that bound ``twins``; ``None`` where something else is among them.

    A sampled Gaussian is a mixture over samples, each no worse than the Gaussian on all the data.
    """
    import dp_accounting as dp

    plain: Counter[dp.DpEvent] = Counter()
    for twin, count in twins.items():
        plain[unsampled(twin)] += count
    return plain if all(type(event) is dp.GaussianDpEvent for event in plain) else None


def unsampled(leaf: "dp.DpEvent") -> "dp.DpEvent":
    """Return ``leaf`` with its sampling left out."""
    import dp_accounting as dp

    sampled = (dp.PoissonSampledDpEvent, dp.SampledWithoutReplacementDpEvent)
    return leaf.event if type(leaf) in sampled else leaf


def _require_theorem(leaf: "dp.DpEvent", relation: Relation) -> None:
    """Raise a ValueError where the theorem behind an event needs another relation (rule R12)."""
    import dp_accounting as dp
    from dp_accounting.dp_event import RepeatAndSelectDpEvent

    if type(leaf) is RepeatAndSelectDpEvent:
        for inner in leaves_of(leaf.event):
            _require_theorem(inner, relation)
    needs = {
        dp.SampledWithoutReplacementDpEvent: {Relation.REPLACE_ONE},
        dp.RandomizedResponseDpEvent: {Relation.REPLACE_ONE, Relation.ZERO_OUT},
    }.get(type(leaf), set(Relation))
    words = " or ".join(sorted(needs))
    wanted = f"{type(leaf).__name__} is bounded under {words} only"
    require(relation in needs, wanted, f"relation {relation}", f"Ask for relation={words!r}")


def with_noise(leaf: "dp.DpEvent", factor: float) -> "dp.DpEvent":
    """Return ``leaf`` with its noise multiplier times ``factor``."""
    import attr
    import dp_accounting as dp
    from dp_accounting.dp_event import RepeatAndSelectDpEvent

    if type(leaf) in (dp.GaussianDpEvent, dp.LaplaceDpEvent):
        return attr.evolve(leaf, noise_multiplier=leaf.noise_multiplier * factor)
    if type(leaf) in (dp.PoissonSampledDpEvent, dp.SampledWithoutReplacementDpEvent):
        return attr.evolve(leaf, event=with_noise(leaf.event, factor))
    if type(leaf) is RepeatAndSelectDpEvent:
        parts = leaves_of(leaf.event).items()
        return attr.evolve(leaf, event=together((with_noise(e, factor), n) for e, n in parts))
    return leaf
