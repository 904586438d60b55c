"""Which fields an entry has, and of what type."""

import math
import re
from collections.abc import Callable, Mapping

Check = Callable[[object], bool]


def require_fields(fields: object) -> None:
    """Raise a ValueError unless ``fields`` are exactly those of their kind, each of its type.

    >>> require_fields({"kind": "disjoint", "datasets": ["b", "a"]})
    Traceback (most recent call last):
    ...
    ValueError: a disjoint entry needs: seq, previous, nonce, time, version, kind, datasets. \
Missing: seq, previous, nonce, time, version.
    """
    if not isinstance(fields, Mapping):
        raise ValueError(f"an entry must be a mapping. Found {type(fields).__name__}.")
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}. Found {kind!r}.")
    checks = EVERY | KINDS[kind]
    missing = [name for name in checks if name not in fields]
    unknown = sorted(str(name) for name in fields if name not in checks)
    if missing or unknown:
        found = f"Missing: {', '.join(missing)}." if missing else f"Unknown: {', '.join(unknown)}."
        raise ValueError(f"a {kind} entry needs: {', '.join(checks)}. {found}")
    for name, check in checks.items():
        if not check(fields[name]):
            raise ValueError(f"{name} of a {kind} entry is malformed. Found {fields[name]!r}.")


def is_hash(value: object) -> bool:
    """Tell whether ``value`` is a SHA-256 in hex."""
    return _hex(64)(value)


def _hex(digits: int) -> Check:
    pattern = re.compile(f"[0-9a-f]{{{digits}}}")
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _one_of(*words: str) -> Check:
    return lambda value: isinstance(value, str) and value in words


def _whole(least: int) -> Check:
    return lambda value: type(value) is int and value >= least


def _or(check: Check, other: object) -> Check:
    return lambda value: value == other or check(value)


def _text(value: object) -> bool:
    return isinstance(value, str)


def _name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _delta(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value <= 1  # type: ignore[arg-type, operator]


def _parties(value: object) -> bool:
    ok = isinstance(value, list) and all(type(party) in (int, str) for party in value)
    return ok and value == sorted(value, key=str)  # type: ignore[call-overload]


def _names(value: object) -> bool:
    ok = isinstance(value, list) and all(_name(name) for name in value)
    return ok and len(value) > 1 and value == sorted(set(value))  # type: ignore[arg-type, call-overload]


def _event(value: object) -> bool:
    return isinstance(value, dict) and _name(value.get("kind"))


EVERY: dict[str, Check] = {
    "seq": _whole(1),
    "previous": is_hash,
    "nonce": _hex(64),
    "time": _name,
    "version": _name,
    "kind": _name,
}

KINDS: dict[str, dict[str, Check]] = {
    "charge": {
        "release": _hex(32),
        "unit": _one_of("record", "client"),
        "dataset": _name,
        "vantage": _parties,
        "relation": _one_of("zero-out", "replace-one", "add/remove"),
        "event": _event,
        "count": _whole(1),
        "delta": _delta,
        "n_units": _whole(0),
        "max_records": _or(_whole(1), None),
        "provenance": _one_of("declared", "witnessed"),
        "pipeline": _text,
        "run": _hex(16),
    },
    "disjoint": {"datasets": _names},
    "release": {"release": _hex(32), "update": _or(is_hash, ""), "model": _or(is_hash, "")},
    "signature": {"key": _hex(64), "signature": _hex(128)},
}
