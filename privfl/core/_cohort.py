"""Who takes part in a round."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from privfl.core._check import require, require_positive
from privfl.core._encoding import Party, State, encode
from privfl.core._vantage import SERVER


@dataclass(frozen=True, eq=False)
class Cohort:
    """List the members of a round with what is public about them.

    Attributes:
        members: names of the clients, numbers or strings, each once.
        weights: one public weight a member (staleness, mixing, edge sizes); never example counts,
            which are private: see `privfl.parts.Weigh`.
        owners: (n, d) bool, which coordinates a member trains (HeteroFL's widths); public.
        expected: how many members were expected, where they were drawn by coins of their own: the
            number that a privacy claim divides by (rule R3). None: as many as there are.

    >>> Cohort.of(3).members
    (0, 1, 2)
    """

    members: tuple[Party, ...]
    weights: tuple[float, ...] | None = None
    owners: Tensor | None = field(default=None, repr=False)
    expected: float | None = None

    def __post_init__(self) -> None:
        """Refuse an empty cohort, doubles, and weights or owners of another length."""
        n = len(self.members)
        require(n > 0, "A cohort needs at least one client", "none")
        named = all(issubclass(kind, int | str) for kind in {*map(type, self.members)})
        require(named, "Clients are named by numbers or strings", self.members)
        require(len(set(self.members)) == n, "A cohort lists each client once", self.members)
        require(SERVER not in self.members, "No client is called 'server'", self.members)
        if self.weights is not None:
            object.__setattr__(self, "weights", tuple(float(w) for w in self.weights))
            good = len(self.weights) == n and all(0 <= w < math.inf for w in self.weights)
            wanted = f"weights must be {n} finite numbers from 0 up, not all 0"
            require(good and sum(self.weights) > 0, wanted, self.weights)
        if self.expected is not None:
            require_positive("expected", self.expected)
            alike = self.weights is None and self.owners is None
            require(alike, "expected takes members that count alike", "public weights or owners")
        if self.owners is not None:
            good = self.owners.dtype == torch.bool and self.owners.ndim == 2
            found = f"{self.owners.dtype} of shape {tuple(self.owners.shape)}"
            require(good and len(self.owners) == n, f"owners must be bool ({n}, d)", found)

    @classmethod
    def of(cls, members: "Cohort | int | Sequence[Party]") -> "Cohort":
        """Make a cohort from a number of clients or from their names."""
        if isinstance(members, Cohort):
            return members
        return cls(tuple(range(members)) if isinstance(members, int) else tuple(members))

    def __len__(self) -> int:
        """Count the members."""
        return len(self.members)

    def index(self, who: Sequence[Party]) -> list[int]:
        """Return the positions of ``who`` in the cohort."""
        place = {member: k for k, member in enumerate(self.members)}
        return [place[member] for member in who]

    def weight(self, member: Party) -> float:
        """Return the public weight of one member, 1 where none is given."""
        return 1.0 if self.weights is None else self.weights[self.members.index(member)]

    def only(self, who: Sequence[Party]) -> "Cohort":
        """Return the cohort of ``who`` alone, with their weights and owned coordinates."""
        rows = self.index(who)
        weights = None if self.weights is None else tuple(self.weights[k] for k in rows)
        owners = None if self.owners is None else self.owners[rows]
        return Cohort(tuple(who), weights, owners, self.expected)

    @property
    def heads(self) -> float:
        """The public number of members: as expected, or as listed."""
        return float(len(self)) if self.expected is None else self.expected

    @property
    def total_weight(self) -> float:
        """The sum of all public weights."""
        return self.heads if self.weights is None else sum(self.weights)

    def weight_of(self, who: Sequence[Party], dim: int) -> Tensor:
        """Sum the weights of ``who``: -> (1,), or (dim,) where owners differ by coordinate.

        Coordinates behind the owned ones (a declared tail) belong to everybody.
        """
        rows = self.index(who)
        weights = torch.tensor([self.weight(self.members[k]) for k in rows], dtype=torch.float64)
        if self.owners is None:
            return weights.sum()[None]
        owned = self.owners[rows].double()
        tail = owned.new_ones(len(rows), dim - owned.shape[1])
        return weights @ torch.cat([owned, tail], dim=1)

    def to_state(self) -> State:
        """Return the cohort as a value that can be written as bytes."""
        return (self.members, self.weights, self.owners, self.expected)

    @classmethod
    def from_state(cls, state: State) -> "Cohort":
        """Read what `to_state` wrote."""
        require(isinstance(state, tuple) and len(state) == 4, "A cohort has four entries", "else")
        return cls(*state)  # type: ignore[misc]

    def __eq__(self, other: object) -> bool:
        """Compare members, weights and owners by value."""
        return isinstance(other, Cohort) and self._digest() == other._digest()

    def __hash__(self) -> int:
        """Hash by value."""
        return hash(self._digest())

    def _digest(self) -> bytes:
        return hashlib.sha256(encode(self.to_state())).digest()
