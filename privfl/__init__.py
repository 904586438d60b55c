"""Harden the federated learning you have.

>>> from privfl import Pipeline
>>> from privfl.defenses.dp import Clip
>>> shield = Pipeline(Clip(1.0))
>>> shield.contract.enforced_by
'client'

Names are resolved on first use, so that importing the package costs nothing.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from privfl.core import (
        Budget,
        BudgetExceeded,
        CompositionError,
        Layout,
        PlanError,
        ProtocolAbort,
        Unit,
        Vantage,
    )
    from privfl.defenses.dp import make_private, make_private_with_epsilon
    from privfl.federation import Federation
    from privfl.ledger import Ledger, LedgerTampered
    from privfl.pipeline import Pipeline

if find_spec("privfl.defenses") is None:
    # a clone's ./privfl hides an installed wheel, and its defenses/ lies beside it, not inside
    raise ImportError(
        f"privfl is imported from the clone {Path(__file__).parents[1]}, which is not installed: "
        "run `pip install -e .` there, or leave that folder to use the installed privfl."
    )

__version__ = "0.1.0"

_HOMES = {
    "Budget": "privfl.core",
    "BudgetExceeded": "privfl.core",
    "CompositionError": "privfl.core",
    "Federation": "privfl.federation",
    "Layout": "privfl.core",
    "Ledger": "privfl.ledger",
    "LedgerTampered": "privfl.ledger",
    "Pipeline": "privfl.pipeline",
    "PlanError": "privfl.core",
    "ProtocolAbort": "privfl.core",
    "Unit": "privfl.core",
    "Vantage": "privfl.core",
    "make_private": "privfl.defenses.dp",
    "make_private_with_epsilon": "privfl.defenses.dp",
}

__all__ = [
    "Budget",
    "BudgetExceeded",
    "CompositionError",
    "Federation",
    "Layout",
    "Ledger",
    "LedgerTampered",
    "Pipeline",
    "PlanError",
    "ProtocolAbort",
    "Unit",
    "Vantage",
    "make_private",
    "make_private_with_epsilon",
]


def __getattr__(name: str) -> object:
    """Import a public name from its room."""
    if name not in _HOMES:
        raise AttributeError(f"module 'privfl' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
