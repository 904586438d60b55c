"""What an event is made of."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from privfl.core import require, require_count

if TYPE_CHECKING:
    import dp_accounting as dp


def leaves_of(event: "dp.DpEvent", count: int = 1) -> "Counter[dp.DpEvent]":
    """Return the distinct releases inside ``event``, and how often each happened.

    Compositions are taken apart, several Gaussians on one sample become one, and what releases
    nothing is left out: a loop, a count and a list of the same releases are one and the same.

    Raises:
        ValueError: a release is of a kind with no known bound, or its parameters are impossible.

    >>> from dp_accounting import ComposedDpEvent, GaussianDpEvent, SelfComposedDpEvent
    >>> twice = SelfComposedDpEvent(GaussianDpEvent(1.0), 2)
    >>> leaves_of(ComposedDpEvent([twice, GaussianDpEvent(1.0)]))
    Counter({GaussianDpEvent(noise_multiplier=1.0): 3})
    """
    import dp_accounting as dp

    require_count("count", count)
    if type(event) is dp.SelfComposedDpEvent:
        return leaves_of(event.event, count * event.count)
    if type(event) is dp.ComposedDpEvent:
        leaves: Counter[dp.DpEvent] = Counter()
        for part in event.events:
            leaves.update(leaves_of(part, count))
        return leaves
    leaf = _leaf(event)
    return Counter({leaf: count} if count and leaf != dp.NoOpDpEvent() else {})


def joint_mu(gaussians: "Counter[dp.DpEvent]") -> float:
    """Return the ``mu`` of Gaussian releases taken together: squares add."""
    return math.hypot(*(math.sqrt(n) / e.noise_multiplier for e, n in gaussians.items()))


def together(parts: "Iterable[tuple[dp.DpEvent, int]]") -> "dp.DpEvent":
    """Return one composition of releases and their counts, the same for any order of them."""
    import dp_accounting as dp

    several = (dp.SelfComposedDpEvent(event, count) for event, count in parts)
    return dp.ComposedDpEvent(tuple(sorted(several, key=repr)))  # a tuple, so that it has a hash


def _leaf(event: "dp.DpEvent") -> "dp.DpEvent":
    rules = _rules()
    kinds = ", ".join(kind.__name__ for kind in rules)
    fix = "Account it by one of these that bounds it, or as NonPrivateDpEvent"
    # By exact type: a subclass may mean something else than its parent.
    require(type(event) in rules, f"event must be composed of {kinds}", type(event).__name__, fix)
    return rules[type(event)](event)


def _rules() -> "dict[type, Callable[[dp.DpEvent], dp.DpEvent]]":
    import dp_accounting as dp
    from dp_accounting.dp_event import RepeatAndSelectDpEvent

    return {
        dp.NoOpDpEvent: lambda event: event,
        dp.NonPrivateDpEvent: lambda event: event,
        dp.GaussianDpEvent: _additive,
        dp.LaplaceDpEvent: _additive,
        dp.RandomizedResponseDpEvent: _randomized_response,
        dp.PoissonSampledDpEvent: _poisson,
        dp.SampledWithoutReplacementDpEvent: _fixed_size,
        RepeatAndSelectDpEvent: _repeat_and_select,
    }


def _additive(event: "dp.DpEvent") -> "dp.DpEvent":
    import dp_accounting as dp

    z = event.noise_multiplier
    require(z >= 0, "noise_multiplier must not be negative", z)
    # Squares of anything beyond these overflow. Both err on the safe side.
    return type(event)(min(float(z), 1e100)) if z > 1e-100 else dp.NonPrivateDpEvent()


def _randomized_response(event: "dp.DpEvent") -> "dp.DpEvent":
    import dp_accounting as dp

    require(0 <= event.noise_parameter <= 1, "noise_parameter must be in [0, 1]", event)
    require_count("num_buckets", event.num_buckets, least=1)
    if event.num_buckets == 1 or event.noise_parameter == 1:
        return dp.NoOpDpEvent()
    return event if event.noise_parameter > 0 else dp.NonPrivateDpEvent()


def _poisson(event: "dp.DpEvent") -> "dp.DpEvent":
    import dp_accounting as dp

    rate = event.sampling_probability
    require(0 <= rate <= 1, "sampling_probability must be in [0, 1]", rate)
    return _sampled(event.event, rate, lambda inner: dp.PoissonSampledDpEvent(rate, inner))


def _fixed_size(event: "dp.DpEvent") -> "dp.DpEvent":
    import dp_accounting as dp

    size, total = event.sample_size, event.source_dataset_size
    require_count("source_dataset_size", total, least=1)
    require_count("sample_size", size)
    require(size <= total, f"sample_size must be at most source_dataset_size = {total}", size)
    drawn = dp.SampledWithoutReplacementDpEvent
    return _sampled(event.event, size / total, lambda inner: drawn(total, size, inner))


def _repeat_and_select(event: "dp.DpEvent") -> "dp.DpEvent":
    import dp_accounting as dp
    from dp_accounting.dp_event import RepeatAndSelectDpEvent

    require(event.mean >= 1, "mean must be at least one trial", event.mean)
    require(event.shape >= 0, "shape must be 0 (logarithmic), 1 (geometric), … or inf", event.shape)
    leaves = leaves_of(event.event)
    if not leaves:
        return dp.NoOpDpEvent()
    if dp.NonPrivateDpEvent() in leaves or math.isinf(event.mean):
        return dp.NonPrivateDpEvent()
    mean, shape = float(event.mean), float(event.shape)
    return RepeatAndSelectDpEvent(together(leaves.items()), mean, shape)


def _sampled(
    inner: "dp.DpEvent", rate: float, draw: "Callable[[dp.DpEvent], dp.DpEvent]"
) -> "dp.DpEvent":
    """Return the draw of one Gaussian that stands for ``inner``, all of it on the same sample."""
    import dp_accounting as dp

    leaves = leaves_of(inner)
    if rate == 0 or not leaves:
        return dp.NoOpDpEvent()
    if dp.NonPrivateDpEvent() in leaves:
        return dp.NonPrivateDpEvent()
    other = [type(leaf).__name__ for leaf in leaves if type(leaf) is not dp.GaussianDpEvent]
    fix = "Leave the sampling out: the bound then holds without amplification"
    require(not other, "a sampled event must be composed of GaussianDpEvent", other, fix)
    # Capped: with more noise the terms of the Renyi bounds are equal to the last digit.
    joint = dp.GaussianDpEvent(min(1 / joint_mu(leaves), 1e5))
    return joint if rate == 1 else draw(joint)
