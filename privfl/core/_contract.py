"""Kinds: what is true of the vector at each place of a pipeline, known when it is built."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from privfl.core._scalar import Scalar

Where = Literal["client", "rows", "result"]


@dataclass(frozen=True)
class Contract:
    """State the kinds that hold where a part stands. Folded through the parts by `Part.check`.

    Attributes:
        where: ``client`` before the protocol, ``rows`` behind it, ``result`` behind the aggregator.
        form: ``real`` numbers, ``integer`` modulo a ring, or ``ciphertext``.
        scalars: what rides in the tail of the vector.
        clip_norm: the L2 bound of an update's body; infinite where nobody clips.
        enforced_by: who makes the bound hold: ``nobody``, ``client`` (a promise), ``opener``, or
            ``both``, where a clip of the opener is tighter than the clients' own may be.
        weighting: ``uniform``; by private ``examples``; by these over a ``public_total``.
        noise: ``none``, ``local``, ``central`` or ``shares`` (rule R31).
        sees: what the opener sees: ``each`` update, a ``group``'s sum, the ``sum``.
        rows: what the aggregator gets: a row for each update, a group's mean, or the sum.
        opener: who undoes what the clients did: the ``server`` or, with a shared key, ``clients``.
        support: ``public``, or ``private`` where positions depend on data (rule R32).
        accepting: names of the conditions that the user accepted knowingly.
        authors: which part set a field last, so that an error can name both sides.
    """

    where: Where = "client"
    form: Literal["real", "integer", "ciphertext"] = "real"
    scalars: tuple[Scalar, ...] = ()
    clip_norm: float = math.inf
    enforced_by: Literal["nobody", "client", "opener", "both"] = "nobody"
    weighting: Literal["uniform", "examples", "public_total"] = "uniform"
    noise: Literal["none", "local", "central", "shares"] = "none"
    sees: Literal["each", "group", "sum"] = "each"
    rows: Literal["each", "group", "sum"] = "each"
    opener: Literal["server", "clients"] = "server"
    support: Literal["public", "private"] = "public"
    accepting: frozenset[str] = frozenset()
    authors: Mapping[str, object] = field(
        default_factory=lambda: MappingProxyType({}), repr=False, compare=False
    )

    def but(self, author: object, **changes: object) -> "Contract":
        """Return a copy with ``changes``, and remember that ``author`` made them."""
        authors = MappingProxyType({**self.authors, **dict.fromkeys(changes, author)})
        return replace(self, authors=authors, **changes)  # type: ignore[arg-type]

    def author(self, name: str) -> object:
        """Return the part that set the field ``name``, or a word where none did."""
        return self.authors.get(name, f"no {name.replace('_', ' ')}")

    @property
    def claims_privacy(self) -> bool:
        """Whether some part adds noise, so that the pipeline claims differential privacy."""
        return self.noise != "none"
