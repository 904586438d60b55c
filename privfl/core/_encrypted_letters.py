"""The letters of an encrypted sum, as both sides and an onlooker read them."""

from dataclasses import dataclass, field

from privfl.core._letter import Letter

KEY_ID_BYTES = 16
NO_KEY = bytes(KEY_ID_BYTES)
DIGEST_BYTES = 32


@dataclass(frozen=True)
class Present(Letter):
    """Ask for a card: a public key for boxes, and which key of the sum the client holds."""


@dataclass(frozen=True)
class HandOut(Letter):
    """Ask one client to hand the key to those who lack it, or to make one.

    Attributes:
        key: id of the key to hand out; `NO_KEY`: make one.
        lacking: who of the cohort, in bits.
        cards: theirs, one behind the other.
    """

    key: bytes
    lacking: bytes
    cards: bytes = field(repr=False)


@dataclass(frozen=True)
class Handed(Letter):
    """Answer with a box for each who lacks the key.

    Attributes:
        key: id of the key in the boxes.
        boxes: one behind the other.
    """

    key: bytes
    boxes: bytes = field(repr=False)


@dataclass(frozen=True)
class Encrypt(Letter):
    """Ask for the encrypted vector.

    Attributes:
        key: id of the key to use.
        holder: who handed the key out, in bits; nobody where the receiver holds it.
        card: the holder's.
        box: for the receiver.
    """

    key: bytes
    holder: bytes = b""
    card: bytes = field(default=b"", repr=False)
    box: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Encrypted(Letter):
    """Answer with the encrypted vector.

    Attributes:
        words: the first polynomial of each ciphertext, packed to the bits of the modulus.
        seeds: of which the second polynomials are made, 64 bytes each.
        signature: over both, for this sum and key.
    """

    words: bytes = field(repr=False)
    seeds: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True)
class Decrypt(Letter):
    """Hand out the encrypted sum, and ask to open it.

    Attributes:
        survivors: who of the cohort is in it, in bits.
        proofs: of each, hashes of its words and seeds, and its signature over them.
        words: the polynomials of each ciphertext, packed: both, or the first alone.
        seeds: then everybody's, of which the reader adds up the second ones by itself.
        digest: hash of the words: what was garbled on its way is not opened.
    """

    survivors: bytes
    proofs: bytes = field(repr=False)
    words: bytes = field(repr=False)
    seeds: bytes = field(default=b"", repr=False)
    digest: bytes = b""


@dataclass(frozen=True)
class Opened(Letter):
    """Answer that the sum is open; where the result is published, with the result.

    Attributes:
        result: the sum, as bytes; empty where it stays with those who hold the key.
        signature: over it.
    """

    result: bytes = field(default=b"", repr=False)
    signature: bytes = field(default=b"", repr=False)
