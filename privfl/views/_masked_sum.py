"""The public numbers of one masked sum: what its clients signed for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from privfl.core import Advertisement, At, Occasion, Party, require
from privfl.core._roll import Roll


class _Safety(Protocol):
    @property
    def threshold(self) -> int: ...
    @property
    def neighbors(self) -> int: ...
    @property
    def quorum(self) -> int: ...
    @property
    def corrupt(self) -> int: ...


@runtime_checkable
class Masks(Protocol):
    """Know a protocol that masks by what it rests on."""

    def safety(self, n: int) -> _Safety:
        """Return threshold, graph and quorum for ``n`` clients."""
        ...


@dataclass(frozen=True)
class MaskedSum:
    """State who sums what, and how many must agree before anything is unmasked.

    Attributes:
        session, model: what the keys and signatures of this sum are bound to.
        members: of the cohort, or of the group.
        threshold: how many shares open a secret.
        neighbors: of each client; all others where it is their number or more.
        quorum: how many must sign one list of survivors.
        corrupt: how many clients work with the server, as declared.
        bits, dim: of the ring, and of the vector.
    """

    session: bytes
    model: bytes
    members: tuple[Party, ...]
    threshold: int
    neighbors: int
    quorum: int
    corrupt: int
    bits: int
    dim: int

    @classmethod
    def of(cls, protocol: Masks, at: At, bits: int) -> "MaskedSum":
        """Derive the numbers as both sides do."""
        members = at.cohort.members
        safety = protocol.safety(len(members))
        return cls(
            at.session,
            at.model,
            members,
            safety.threshold,
            safety.neighbors,
            safety.quorum,
            safety.corrupt,
            bits,
            at.plan.dim,
        )

    @property
    def occasion(self) -> Occasion:
        """What signatures are bound to: a server cannot log other numbers than clients used."""
        return Occasion.of(
            self.session,
            self.model,
            threshold=self.threshold,
            neighbors=self.neighbors,
            quorum=self.quorum,
            bits=self.bits,
            dim=self.dim,
        )

    @property
    def fewest(self) -> int:
        """How many must stay for the sum to be opened."""
        complete = self.neighbors >= len(self.members) - 1
        return max(self.threshold, self.quorum) if complete else self.quorum

    def roll(self, keys: Mapping[Party, Advertisement]) -> Roll:
        """Make the roll of those who advertised."""
        return Roll.of(self.occasion, self.members, self.neighbors, keys)

    def fields(self) -> dict[str, object]:
        """Write what a line of a log says of this sum."""
        return {
            "session": self.session.hex(),
            "model": self.model.hex(),
            "members": list(self.members),
            "numbers": {name: getattr(self, name) for name in _NUMBERS},
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, object]) -> "MaskedSum":
        """Read what `fields` wrote.

        Raises:
            ValueError: for anything else.
        """
        numbers = fields.get("numbers")
        if not isinstance(numbers, dict) or set(numbers) != set(_NUMBERS):
            raise ValueError("it names other numbers than those of a masked sum")
        counts = all(type(value) is int and value >= 0 for value in numbers.values())
        require(counts, "the numbers of a sum are whole", numbers)
        return cls(
            bytes_in(fields, "session"),
            bytes_in(fields, "model"),
            names_in(fields, "members"),
            **numbers,
        )


_NUMBERS = ("threshold", "neighbors", "quorum", "corrupt", "bits", "dim")


def names_in(fields: Mapping[str, object], key: str) -> tuple[Party, ...]:
    """Read a list of clients, each once.

    Raises:
        ValueError: for anything else.
    """
    found = fields.get(key)
    if not isinstance(found, list) or not all(type(who) in (int, str) for who in found):
        raise ValueError(f"{key} is no list of clients")
    if len(set(found)) != len(found):
        raise ValueError(f"{key} lists a client twice")
    return tuple(found)


def bytes_in(fields: Mapping[str, object], key: str) -> bytes:
    """Read bytes written in hex.

    Raises:
        ValueError: for anything else.
    """
    found = fields.get(key)
    if not isinstance(found, str):
        raise ValueError(f"{key} is not written in hex")
    return bytes.fromhex(found)
