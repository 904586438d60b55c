"""Events as JSON and back, every float to the bit."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dp_accounting as dp


def event_to_json(event: object) -> dict[str, Any]:
    """Return a ``dp_accounting`` event as a mapping of its kind and its fields.

    Raises:
        ValueError: the event is of no kind that ``dp_accounting`` has, or holds a NaN, an
            infinity or what is neither a number nor an event.

    >>> from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    >>> event_to_json(PoissonSampledDpEvent(0.01, GaussianDpEvent(1.0)))["event"]
    {'kind': 'GaussianDpEvent', 'noise_multiplier': 1.0}
    """
    import attr

    kind = type(event).__name__
    if type(event) not in _kinds().values():  # a subclass may mean something else
        raise ValueError(f"event must be a dp_accounting.DpEvent. Found {kind}.")
    names = [field.name for field in attr.fields(_kinds()[kind])]
    return {"kind": kind} | {name: _to_json(getattr(event, name)) for name in names}


def event_from_json(data: object) -> "dp.DpEvent":
    """Return the event that `event_to_json` made ``data`` of.

    Raises:
        ValueError: the kind is unknown, a field is missing or unknown, or a value is no number.

    >>> event_from_json({"kind": "GaussianDpEvent", "noise_multiplier": 1.0})
    GaussianDpEvent(noise_multiplier=1.0)
    """
    import attr

    kind = data.get("kind") if isinstance(data, Mapping) else None
    event = _kinds().get(kind) if isinstance(kind, str) else None
    if event is None or not isinstance(data, Mapping):
        raise ValueError(f"kind of event must be one that dp_accounting has. Found {kind!r}.")
    names = {field.name for field in attr.fields(event)}
    if names != set(data) - {"kind"}:
        found = sorted(set(data) - {"kind"})
        raise ValueError(f"a {kind} needs the fields {sorted(names)}. Found {found}.")
    return event(**{name: _from_json(data[name]) for name in names})


@cache
def _kinds() -> "dict[str, type[dp.DpEvent]]":
    from dp_accounting import dp_event

    things = vars(dp_event).items()
    return {n: e for n, e in things if isinstance(e, type) and issubclass(e, dp_event.DpEvent)}


def _to_json(value: object) -> object:
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return _finite(float(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_to_json(part) for part in value]
    return event_to_json(value)


def _from_json(value: object) -> object:
    if type(value) is int:
        return value
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, list):
        return [_from_json(part) for part in value]
    return event_from_json(value)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"numbers of an event must be finite. Found {value}.")
    return value
