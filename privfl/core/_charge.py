"""What a part asks a ledger to write."""

from dataclasses import dataclass

from privfl.core._relation import Relation
from privfl.core._unit import Unit
from privfl.core._vantage import Vantage


@dataclass(frozen=True)
class Charge:
    """Describe one release for the accounting.

    Attributes:
        event: a ``dp_accounting`` DpEvent; its noise is over the most one unit contributes,
            whatever the relation, and accountants double the distance under replace-one.
        unit: whose presence is hidden.
        vantage: the adversary against whom the event holds.
        relation: which datasets are neighbours.
        count: how often the event happens in this release.
        delta: what is charged besides the event.
    """

    event: object
    unit: Unit
    vantage: Vantage
    relation: Relation
    count: int = 1
    delta: float = 0.0
