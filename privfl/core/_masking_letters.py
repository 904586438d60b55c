"""The letters of a masked sum, as both sides and an auditor read them."""

from dataclasses import dataclass, field

from privfl.core._letter import Letter

BOX_BYTES = 94  # a nonce of 12, two shares of 33, a tag of 16
SHARE_BYTES = 33
UNKNOWN_SHARE = b"\xff" * SHARE_BYTES  # above the prime: in place of a share whose box did not open


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
