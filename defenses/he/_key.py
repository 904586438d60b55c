"""The key that clients share, and how one of them hands it to another."""

import secrets as system
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar, Self, cast

from privfl.core import Occasion, Party, ProtocolAbort, Registry, State, encode
from privfl.core._encrypted_letters import KEY_ID_BYTES, NO_KEY
from privfl.core._letter import SIGNATURE_BYTES
from privfl.crypto import (
    BOX_OVERHEAD,
    Identity,
    Stream,
    agree,
    derive,
    seal,
    unseal,
)
from privfl.lattice import SEED_BYTES, Ring, Secret

KEY_BYTES = 32
BORN_BYTES = 8
KEY_BOX_BYTES = KEY_BYTES + BORN_BYTES + BOX_OVERHEAD


@dataclass(frozen=True)
class Key:
    """Hold the seed from which every secret of a key comes, and when it was made and used.

    Attributes:
        seed: 32 bytes; who has them decrypts.
        born: the round for which it was made.
        last: round and pass of the last sum that this client encrypted under it.
    """

    seed: bytes = field(repr=False)
    born: int
    last: tuple[int, int] = (-1, 0)

    @classmethod
    def new(cls, born: int) -> "Key":
        """Make a key from the operating system's randomness, in a seeded run too."""
        return cls(system.token_bytes(KEY_BYTES), born)

    @property
    def id(self) -> bytes:
        """The public name of the key: 16 bytes, of which nothing of the seed can be told."""
        return self._derived(KEY_ID_BYTES, "id")

    def secret(self, ring: Ring) -> Secret:
        """Return the secret for a ring: another ring has another one."""
        return _secret(ring, self._derived(SEED_BYTES, "ring", *astuple(ring)))

    def stream(self, purpose: str, *about: bytes) -> Stream:
        """Return randomness that all holders of the key draw alike."""
        return Stream(self._derived(32, purpose, *about))

    def _derived(self, length: int, *purpose: State) -> bytes:
        return derive(self.seed, encode(("privfl he 1", *purpose)), length)

    def may_encrypt(self, round: int, pass_index: int, rounds: int | None) -> bool:
        """Tell whether it may be used for this sum, where it lasts for ``rounds``; None: for ever.

        A key whose releases are counted is used once in each pass: what is counted is passes.
        """
        lives = rounds is None or self.born <= round < self.born + rounds
        return lives and (rounds is None or (round, pass_index) > self.last)

    def used(self, round: int, pass_index: int) -> "Key":
        """Return the key after a sum."""
        return replace(self, last=(round, pass_index))

    def to_state(self) -> State:
        """Return what the client keeps."""
        return {"seed": self.seed, "born": self.born, "last": self.last}

    @classmethod
    def of(cls, state: State) -> "Key | None":
        """Read what a client kept, where it kept a key."""
        return None if state is None else cls(**cast("Mapping[str, Any]", state))


@lru_cache(maxsize=8)
def _secret(ring: Ring, seed: bytes) -> Secret:
    return Secret(ring, seed)


@dataclass(frozen=True)
class Card:
    """Publish a key for boxes, and which key of the sum one holds.

    Attributes:
        box_key: X25519, fresh for this sum.
        key: id of the key that one holds and may use; `NO_KEY` where none.
        spent: id of the last key that one may use no more; `NO_KEY` where none.
        signature: over all this, for this sum.
    """

    box_key: bytes
    key: bytes = NO_KEY
    spent: bytes = NO_KEY
    signature: bytes = field(default=b"", repr=False)

    SIZE: ClassVar[int] = 32 + 2 * KEY_ID_BYTES + SIGNATURE_BYTES

    def _body(self) -> bytes:
        return self.box_key + self.key + self.spent

    def signed(self, who: Party, occasion: Occasion, identity: Identity) -> "Card":
        """Sign it as ``who``."""
        return replace(self, signature=identity.sign(occasion.text("card", who, self._body())))

    def is_signed_by(self, who: Party, occasion: Occasion, registry: Registry) -> bool:
        """Tell whether ``who`` signed this for this sum."""
        text = occasion.text("card", who, self._body())
        return registry.has_signed(who, text, self.signature)

    def to_bytes(self) -> bytes:
        """Write it."""
        return self._body() + self.signature

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read it.

        Raises:
            ProtocolAbort: for another length.
        """
        if len(data) != cls.SIZE:
            raise ProtocolAbort(f"A card of {len(data)} bytes, it has {cls.SIZE}")
        box_key, keys, signature = data[:32], data[32:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:]
        return cls(box_key, keys[:KEY_ID_BYTES], keys[KEY_ID_BYTES:], signature)


@dataclass(frozen=True)
class Handover:
    """Name one handover of a key: of which sum, from whom, to whom.

    The box is sealed for both ends' fresh keys, which their owners signed for this sum.
    """

    occasion: Occasion
    key: bytes
    giver: Party
    taker: Party

    def _box(self, seed: bytes, peer: bytes) -> tuple[bytes, bytes]:
        text = self.occasion.text("key box", self.giver, self.taker, self.key)
        return derive(agree(seed, peer), text), text

    def seal(self, box_seed: bytes, taker: Card, key: Key) -> bytes:
        """Seal the key for ``taker``.

        Raises:
            ProtocolAbort: for a card whose public key is of low order.
        """
        try:
            secret, text = self._box(box_seed, taker.box_key)
        except ValueError as error:
            raise ProtocolAbort(f"Client {self.taker} has no key to box for") from error
        return seal(secret, key.seed + key.born.to_bytes(BORN_BYTES, "little"), text)

    def open(self, box_seed: bytes, giver: Card, box: bytes) -> Key:
        """Open the box.

        Raises:
            ProtocolAbort: for a box that does not open, or holds another key.
        """
        try:
            secret, text = self._box(box_seed, giver.box_key)
            inside = unseal(secret, box, text)
        except ValueError as error:
            raise ProtocolAbort("The box with the key does not open") from error
        key = Key(inside[:KEY_BYTES], int.from_bytes(inside[KEY_BYTES:], "little"))
        if key.id != self.key:
            raise ProtocolAbort("The box holds another key than it says")
        return key
