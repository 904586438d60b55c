"""What was released, written down before it left: append-only, chained, and checkable by anyone.

Every release is an entry in one SQLite file, and each entry holds the hash of the one before it.
``docs/ledger_format.md`` describes the file; ``docs/verify_ledger.py`` checks it without privfl.

>>> from privfl import Ledger
>>> from dp_accounting import GaussianDpEvent
>>> ledger = Ledger("run.db")
>>> kinds = {"unit": "client", "vantage": "outsider", "relation": "zero-out"}
>>> for release in range(4):
...     entry = ledger.charge(GaussianDpEvent(2.0), dataset="clinic-3", **kinds)
>>> print(ledger.epsilon(delta=1e-5))
at most 4.38 (closed form)

Names are resolved on first use: what writes to the file needs the standard library only.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from privfl.core import Budget
    from privfl.ledger._entry import Entry
    from privfl.ledger._ledger import Ledger
    from privfl.ledger._statement import statement
    from privfl.ledger._tampered import LedgerTampered
    from privfl.ledger._unavailable import LedgerUnavailable

_HOMES = {
    "Budget": "privfl.core",
    "Entry": "privfl.ledger._entry",
    "Ledger": "privfl.ledger._ledger",
    "LedgerTampered": "privfl.ledger._tampered",
    "LedgerUnavailable": "privfl.ledger._unavailable",
    "statement": "privfl.ledger._statement",
}

__all__ = ["Budget", "Entry", "Ledger", "LedgerTampered", "LedgerUnavailable", "statement"]


def __getattr__(name: str) -> object:
    """Import a public name from its file."""
    if name not in _HOMES:
        raise AttributeError(f"module 'privfl.ledger' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
