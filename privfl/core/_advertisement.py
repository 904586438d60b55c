"""What a member of a masked sum signs in its first letter."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

from privfl.core._encoding import Party, encode
from privfl.core._errors import ProtocolAbort
from privfl.core._letter import pieces
from privfl.core._registry import Registry
from privfl.crypto import Identity, public_key

SEED_BYTES = 32


@dataclass(frozen=True)
class Occasion:
    """Name the sum that keys, boxes and signatures belong to.

    Attributes:
        session: of the round, pass and group; no two sums share one.
        config: hash of the numbers that both sides derived (threshold, graph, ring, length).
        model: hash of the weights that were broadcast (rule R20).
        protocol: whose words these are.
    """

    session: bytes
    config: bytes
    model: bytes
    protocol: str = "masking"

    @classmethod
    def of(
        cls,
        session: bytes,
        model: bytes,
        *,
        protocol: str = "masking",
        **numbers: int | str,
    ) -> "Occasion":
        """Bind a session to the numbers that every side derives by itself, in their order."""
        config = hashlib.sha256(encode(tuple(numbers.values()))).digest()
        return cls(session, config, model, protocol)

    def text(self, purpose: str, *what: Party | bytes) -> bytes:
        """Return the words of one purpose in this sum: to sign, or to derive a key from."""
        words = f"privfl {self.protocol} 1"
        return encode((words, purpose, self.session, self.config, self.model, what))


@dataclass(frozen=True)
class Secrets:
    """Hold what a client draws fresh for one sum: 32 bytes each."""

    mask_seed: bytes = field(repr=False)
    box_seed: bytes = field(repr=False)
    self_seed: bytes = field(repr=False)


@dataclass(frozen=True)
class Advertisement:
    """Publish two keys, one for masks and one for boxes, and a commitment to the self mask.

    Two pairs, since recovering the mask key of a client that is gone must not open its boxes
    (rule R22). 160 bytes.
    """

    mask_key: bytes
    box_key: bytes
    commitment: bytes
    signature: bytes = b""

    SIZE: ClassVar[int] = 160

    @classmethod
    def signed(
        cls, secrets: Secrets, me: Party, occasion: Occasion, identity: Identity
    ) -> "Advertisement":
        """Publish the public halves of ``secrets`` under this client's signature."""
        bare = cls(
            public_key(secrets.mask_seed),
            public_key(secrets.box_seed),
            commitment_to(secrets.self_seed),
        )
        signature = identity.sign(bare.signed_text(me, occasion))
        return cls(bare.mask_key, bare.box_key, bare.commitment, signature)

    def signed_text(self, who: Party, occasion: Occasion) -> bytes:
        """Return what ``who`` signs: its keys, and the session, config and model they are for."""
        return _text(occasion, who, self.mask_key, self.box_key, self.commitment)

    def is_signed_by(self, who: Party, occasion: Occasion, registry: Registry) -> bool:
        """Tell whether ``who`` signed this for this sum."""
        text = self.signed_text(who, occasion)
        return registry.has_signed(who, text, self.signature)

    def to_bytes(self) -> bytes:
        """Write 160 bytes."""
        return self.mask_key + self.box_key + self.commitment + self.signature

    @classmethod
    def from_bytes(cls, data: bytes) -> "Advertisement":
        """Read 160 bytes.

        Raises:
            ProtocolAbort: for another length.
        """
        if len(data) != cls.SIZE:
            raise ProtocolAbort(f"An advertisement of {len(data)} bytes, it has {cls.SIZE}")
        return cls(data[:32], data[32:64], data[64:96], data[96:])


def write_advertisements(keys: Mapping[Party, Advertisement], order: Iterable[Party]) -> bytes:
    """Write the advertisements of those who sent one, in order: 160 bytes each."""
    return b"".join(keys[who].to_bytes() for who in order if who in keys)


def read_advertisements(data: bytes, who: Sequence[Party]) -> dict[Party, Advertisement]:
    """Read what `write_advertisements` wrote of ``who``.

    Raises:
        ProtocolAbort: for another length.
    """
    written = pieces(data, Advertisement.SIZE, len(who))
    return dict(zip(who, map(Advertisement.from_bytes, written), strict=True))


@lru_cache(maxsize=4096)  # public; in one process n clients check the same n advertisements
def _text(occasion: Occasion, who: Party, *keys: bytes) -> bytes:
    return occasion.text("advertisement", who, *keys)


def commitment_to(seed: bytes) -> bytes:
    """Hash a secret seed, so that what shares give back can be checked: 32 -> 32 bytes."""
    return hashlib.sha256(b"privfl masking 1 self seed" + seed).digest()
