"""One claim of one release."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from privfl.core import Charge, Relation, Unit, Vantage
from privfl.ledger._events import event_from_json, event_to_json

# What a release without any claim is charged as.
UNDEFENDED = Charge(None, Unit.CLIENT, Vantage.OUTSIDER, Relation.ZERO_OUT)


@dataclass(frozen=True)
class Claim:
    """Hold a charge as a value that can be compared and counted.

    Attributes:
        charge: what is claimed; an event that is not private claims nothing.
        max_records: the most records that one client holds, where that was declared.
    """

    charge: Charge
    max_records: int | None = None

    @classmethod
    def of(cls, charge: Charge, max_records: int | None = None, *, seeded: bool = False) -> "Claim":
        """Make a claim of a charge; what a seed repeats protects nothing (rule R28)."""
        void = seeded or charge is UNDEFENDED
        event = {"kind": "NonPrivateDpEvent"} if void else event_to_json(charge.event)
        return cls(replace(charge, event=event_of(event)), max_records)

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> "Claim":
        """Read what `fields` wrote, among others."""
        charge = Charge(
            event=event_of(fields["event"]),
            unit=Unit(fields["unit"]),
            vantage=Vantage(frozenset(fields["vantage"])),
            relation=Relation.of(fields["relation"]),
            count=fields["count"],
            delta=fields["delta"],
            n_units=fields["n_units"],
        )
        return cls(charge, fields["max_records"])

    @property
    def fields(self) -> dict[str, object]:
        """Plain values, for JSON."""
        charge = self.charge
        return {
            "unit": charge.unit.value,
            "vantage": sorted(charge.vantage.parties, key=str),
            "relation": charge.relation.value,
            "event": event_to_json(charge.event),
            "count": charge.count,
            "delta": charge.delta,
            "n_units": charge.n_units,
            "max_records": self.max_records,
        }

    @property
    def is_idle(self) -> bool:
        """Whether it says that nothing was released."""
        return type(self.charge.event).__name__ == "NoOpDpEvent"

    @property
    def is_telling(self) -> bool:
        """Whether it bounds something that was released."""
        return self.is_private and not self.is_idle

    @property
    def is_private(self) -> bool:
        """Whether it claims anything at all."""
        return type(self.charge.event).__name__ != "NonPrivateDpEvent"


def event_of(data: object) -> object:
    """Read an event of plain values; equal ones are one object, and can be hashed."""
    return _event(json.dumps(data, sort_keys=True))


def _with_tuples(value: Any) -> Any:
    """Replace the lists in an event by tuples, which can be hashed."""
    import attr

    if isinstance(value, list):
        return tuple(map(_with_tuples, value))
    if not attr.has(type(value)):
        return value
    fields = (field.name for field in attr.fields(type(value)))
    return attr.evolve(value, **{name: _with_tuples(getattr(value, name)) for name in fields})


@lru_cache(maxsize=1024)  # a run charges the same event thousands of times
def _event(text: str) -> object:
    return _with_tuples(event_from_json(json.loads(text)))
