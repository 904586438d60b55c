"""One line of the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """Hold what was written, where it stands, and the hash that the next entry repeats.

    Attributes:
        seq: its place, from 1.
        hash: SHA-256 of its body, 64 hex digits.
        fields: its body, whose keys and types `require_fields` has checked.

    >>> Entry(1, "ab" * 32, {"kind": "disjoint", "datasets": ["a", "b"]}).kind
    'disjoint'
    """

    seq: int
    hash: str
    fields: Mapping[str, Any] = field(hash=False)

    @property
    def kind(self) -> str:
        """Say what it is: charge, disjoint, release or signature."""
        return str(self.fields["kind"])
