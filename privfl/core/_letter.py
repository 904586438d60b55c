"""What one side of a protocol sends the other: byte strings under a name."""

from dataclasses import dataclass, fields
from typing import Self

from privfl.core._encoding import decode, encode
from privfl.core._errors import ProtocolAbort

SIGNATURE_BYTES = 64
HEAD_BYTES = 512  # the most of a letter besides what it carries


@dataclass(frozen=True)
class Letter:
    """Carry byte strings under the name of what the letter asks for. Subclasses name them."""

    @classmethod
    def kind(cls) -> str:
        """Return the word that stands first in the letter."""
        return cls.__name__.lower()

    def to_bytes(self) -> bytes:
        """Write the letter."""
        return encode((self.kind(), *(getattr(self, f.name) for f in fields(self))))

    @classmethod
    def read(cls, data: bytes, largest: int) -> Self:
        """Read a letter of this kind of at most ``largest`` bytes.

        Raises:
            ProtocolAbort: for anything else.
        """
        found = decode(data, largest=largest)
        if not isinstance(found, tuple) or len(found) != 1 + len(fields(cls)):
            raise ProtocolAbort(f"A letter that is none to {cls.kind()}")
        kind, *parts = found
        if kind != cls.kind():
            raise ProtocolAbort(f"A letter out of turn: the next one here is to {cls.kind()}")
        if not all(isinstance(part, bytes) for part in parts):
            raise ProtocolAbort(f"A letter to {cls.kind()} whose entries are of another kind")
        return cls(*parts)


def pieces(data: bytes, size: int, count: int) -> list[bytes]:
    """Cut ``data`` into ``count`` pieces of ``size`` bytes.

    Raises:
        ProtocolAbort: where the length does not fit.
    """
    if len(data) != size * count:
        raise ProtocolAbort(f"{len(data)} bytes in a letter, {count} times {size} are needed")
    return [data[at : at + size] for at in range(0, len(data), size)]
