"""The letters of a masked sum, as both sides and an auditor read them."""

from dataclasses import dataclass, field, fields
from typing import Self

from privfl.core._encoding import decode, encode
from privfl.core._errors import ProtocolAbort

BOX_BYTES = 94  # a nonce of 12, two shares of 33, a tag of 16
SHARE_BYTES = 33
SIGNATURE_BYTES = 64
HEAD_BYTES = 512  # the most of a letter besides what it carries
UNKNOWN_SHARE = b"\xff" * SHARE_BYTES  # above the prime: in place of a share whose box did not open


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


@dataclass(frozen=True)
class Advertise(Letter):
    """Ask for an advertisement: 160 bytes, see `privfl.core.Advertisement`."""


@dataclass(frozen=True)
class Share(Letter):
    """Relay the advertisements of those who sent one, and ask for boxes of shares.

    Attributes:
        present: who of the cohort, in bits.
        advertisements: 160 bytes each.
    """

    present: bytes
    advertisements: bytes = field(repr=False)


@dataclass(frozen=True)
class Mask(Letter):
    """Relay the boxes for the receiver, and ask for its masked vector.

    Attributes:
        senders: who of its neighbours sent a box, in bits.
        boxes: 94 bytes each.
    """

    senders: bytes
    boxes: bytes = field(repr=False)


@dataclass(frozen=True)
class Masked(Letter):
    """Answer with the masked vector.

    Attributes:
        words: the vector, packed to the bits of the ring.
        edges: with which neighbours it is masked, in bits.
        signature: over the edges, for the neighbours.
        seal: over the words, for the server: nobody else changes them on their way.
    """

    words: bytes = field(repr=False)
    edges: bytes
    signature: bytes = field(repr=False)
    seal: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Sign(Letter):
    """Say who is counted, and ask for a signature over it.

    Attributes:
        survivors: who of the cohort, in bits.
        edges: what those of them who are neighbours of the receiver signed: bits and signature.
    """

    survivors: bytes
    edges: bytes = field(repr=False)


@dataclass(frozen=True)
class Unmask(Letter):
    """Show that a quorum signed the same survivors, and ask for shares.

    Attributes:
        signers: who of the cohort, in bits.
        signatures: 64 bytes each.
    """

    signers: bytes
    signatures: bytes = field(repr=False)


def pieces(data: bytes, size: int, count: int) -> list[bytes]:
    """Cut ``data`` into ``count`` pieces of ``size`` bytes.

    Raises:
        ProtocolAbort: where the length does not fit.
    """
    if len(data) != size * count:
        raise ProtocolAbort(f"{len(data)} bytes in a letter, {count} times {size} are needed")
    return [data[at : at + size] for at in range(0, len(data), size)]
