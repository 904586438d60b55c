"""The numbers of one encrypted sum, which both sides derive alike."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from privfl.core import At, Occasion, Party, ProtocolAbort
from privfl.core._encrypted_letters import DIGEST_BYTES
from privfl.core._letter import SIGNATURE_BYTES, pieces
from privfl.core._subset import from_bits
from privfl.crypto import pack, unpack
from privfl.defenses.he._key import Card
from privfl.defenses.he._parameters import Parameters
from privfl.lattice import SEED_BYTES, Ring, RunningSum

if TYPE_CHECKING:
    from privfl.defenses.he._encrypted_sum import EncryptedSum

Words = NDArray[np.uint64]
PROOF_BYTES = 2 * DIGEST_BYTES + SIGNATURE_BYTES


@dataclass(frozen=True)
class Numbers:
    """State who sums what, in which ring."""

    part: "EncryptedSum"
    members: tuple[Party, ...]
    parameters: Parameters
    occasion: Occasion

    @classmethod
    def of(cls, part: "EncryptedSum", at: At) -> "Numbers":
        """Derive the numbers from what both sides know."""
        parameters = part.parameters(at.plan)
        occasion = Occasion.of(
            at.session,
            at.model,
            protocol="he",
            scheme=parameters.scheme,
            degree=parameters.degree,
            modulus_bits=parameters.modulus_bits,
            plaintext_bits=parameters.plaintext_bits,
            scale=parameters.scale.hex(),
            flood=parameters.flood_std.hex(),
            dim=parameters.dim,
        )
        return cls(part, at.cohort.members, parameters, occasion)

    @cached_property
    def ring(self) -> Ring:
        """The ring of the ciphertexts."""
        return self.parameters.ring

    @property
    def fewest(self) -> int:
        """How many must be left."""
        return self.part.min_survivors(len(self.members))

    def require_enough(self, left: int, stage: str) -> None:
        """Abort below the fewest survivors."""
        if left < self.fewest:
            raise ProtocolAbort(f"{left} clients are left at {stage}, {self.fewest} are needed")

    def pack(self, words: Words) -> bytes:
        """Write polynomials: (…, degree) words, packed."""
        return pack(words.reshape(-1), self.parameters.modulus_bits)

    def unpack_fresh(self, data: bytes, seeds: bytes) -> Words:
        """Read one client's ciphertexts: -> (ciphertexts, degree) words.

        Raises:
            ProtocolAbort: for another length, or words outside of the modulus.
        """
        pieces(seeds, SEED_BYTES, self.parameters.ciphertexts)
        return self._unpacked(data, (self.parameters.ciphertexts, self.parameters.degree))

    def unpack_sum(self, data: bytes) -> Words:
        """Read the sum's ciphertexts: -> (ciphertexts, 2, degree) words.

        Raises:
            ProtocolAbort: for another length, words outside of the modulus, or where the second
                polynomial is zero.
        """
        words = self._unpacked(data, (self.parameters.ciphertexts, 2, self.parameters.degree))
        if not words[:, 1].any(axis=1).all():
            raise ProtocolAbort("A ciphertext that hides nothing: its second polynomial is zero")
        return words

    def rebuild_sum(self, data: bytes, seeds: Sequence[bytes]) -> Words:
        """Read first polynomials, and add up the second ones of everybody's seeds.

        -> (ciphertexts, 2, degree) words, as `unpack_sum`, but a server that lies has no choice of
        what the key is multiplied by: it could have the key itself opened.

        Raises:
            ProtocolAbort: for another length, or words outside of the modulus.
        """
        words = self._unpacked(data, (self.parameters.ciphertexts, self.parameters.degree))
        return RunningSum.rebuilt(self.ring, words, seeds).words()

    def _unpacked(self, data: bytes, shape: tuple[int, ...]) -> Words:
        try:
            words = unpack(data, self.parameters.modulus_bits, int(np.prod(shape)), np.uint64)
            self.ring.require(words)
        except ValueError as error:
            raise ProtocolAbort("Ciphertexts of another length, or outside the modulus") from error
        return words.reshape(shape)

    def sent_text(self, who: Party, key: bytes, digests: bytes) -> bytes:
        """Return what ``who`` signs of its ciphertexts: `digests_of` them."""
        return self.occasion.text("encrypted", who, key, digests)

    def result_text(self, who: Party, words: bytes, result: bytes) -> bytes:
        """Return what ``who`` signs of a result: of which ciphertexts it is."""
        return self.occasion.text("opened", who, words, digest_of(result))

    def cards(self, data: bytes, who: bytes) -> Mapping[Party, Card]:
        """Read the cards of those whom ``who`` names in bits.

        Raises:
            ProtocolAbort: for another length.
        """
        named = from_bits(who, self.members)
        read = map(Card.from_bytes, pieces(data, Card.SIZE, len(named)))
        return dict(zip(named, read, strict=True))


def digest_of(data: bytes) -> bytes:
    """Hash words, seeds or a result: 32 bytes."""
    return hashlib.sha256(data).digest()


def digests_of(words: bytes, seeds: bytes) -> bytes:
    """Hash words and seeds apart, so that either can be checked without the other: 64 bytes."""
    return digest_of(words) + digest_of(seeds)
