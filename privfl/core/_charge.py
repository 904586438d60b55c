"""What a part asks a ledger to write, and what takes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from privfl.core._check import require
from privfl.core._encoding import Party
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
        n_units: how many units the release is about, a public number; 0 where it is not known.
    """

    event: object
    unit: Unit
    vantage: Vantage
    relation: Relation
    count: int = 1
    delta: float = 0.0
    n_units: int = 0


class Reservation(Protocol):
    """Stand for charges that are written: what was reserved is never given back."""

    def bind(self, *, update: bytes = b"", model: bytes = b"") -> None:
        """Write down what was released: hashes of the aggregate and of the model after it."""


class Account(Protocol):
    """Take charges before the release they are for: what ``ledger=`` arguments hold."""

    def reserve(
        self,
        charges: Sequence[Charge] | Mapping[Party, Sequence[Charge]],
        *,
        pipeline: str = "",
        seeded: bool = False,
    ) -> Reservation:
        """Check every budget and write the charges of one release, both or neither.

        Args:
            charges: of the account's dataset; or by client, where clients hold datasets. None at
                all says that the release is not defended, which is an entry too.
            pipeline: repr of what releases.
            seeded: noise or sampling come from a replay seed: the release is not private (R28).

        Raises:
            BudgetExceeded: where the charges do not fit; then nothing is written.
        """


Charged = TypeVar("Charged", bound=Account)


def require_account(ledger: Charged) -> Charged:
    """Refuse what is no account: a bare ledger does not know whose data it is."""
    takes = callable(getattr(ledger, "reserve", None)) and not hasattr(ledger, "dataset")
    fix = "Say ledger.dataset(name), or ledger.datasets({client: name})"
    require(takes, "ledger= takes an account, or None to charge nothing", repr(ledger), fix)
    return ledger
