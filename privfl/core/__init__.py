"""The words everything else is written in: contracts, plans, layouts, rows and letters.

A pipeline folds a `Contract` (kinds) through its parts when it is built, and a `Plan` (numbers)
when the cohort and the size are known. What travels or is kept is a `State`, written as bytes by
`encode` and read by `decode`.

>>> from privfl.core import Cohort, decode, encode
>>> decode(encode((1, "a", b"b")))
(1, 'a', b'b')
>>> len(Cohort.of(["clinic-1", "clinic-2"]))
2
"""

from privfl.core._advertisement import Advertisement, Occasion
from privfl.core._at import At
from privfl.core._budget import Budget, require_small_delta
from privfl.core._charge import Account, Charge, Reservation, require_account
from privfl.core._check import (
    all_finite,
    require,
    require_count,
    require_finite,
    require_matrix,
    require_positive,
)
from privfl.core._cohort import Cohort
from privfl.core._contract import Contract
from privfl.core._encoding import Party, State, decode, encode, hash_of
from privfl.core._errors import (
    BudgetExceeded,
    CompositionError,
    PlanError,
    ProtocolAbort,
)
from privfl.core._identity_file import read_identity, write_identity
from privfl.core._layout import Layout, Model, Weights
from privfl.core._plan import Plan
from privfl.core._registry import Registry
from privfl.core._relation import Relation
from privfl.core._rows import Rows
from privfl.core._scalar import Scalar, joint_factor
from privfl.core._unit import Unit
from privfl.core._vantage import SERVER, Vantage
from privfl.core._weights_hash import weights_hash

__all__ = [
    "SERVER",
    "Account",
    "Advertisement",
    "At",
    "Budget",
    "BudgetExceeded",
    "Charge",
    "Cohort",
    "CompositionError",
    "Contract",
    "Layout",
    "Model",
    "Occasion",
    "Party",
    "Plan",
    "PlanError",
    "ProtocolAbort",
    "Registry",
    "Relation",
    "Reservation",
    "Rows",
    "Scalar",
    "State",
    "Unit",
    "Vantage",
    "Weights",
    "all_finite",
    "decode",
    "encode",
    "hash_of",
    "joint_factor",
    "read_identity",
    "require",
    "require_account",
    "require_count",
    "require_finite",
    "require_matrix",
    "require_positive",
    "require_small_delta",
    "weights_hash",
    "write_identity",
]
