"""What everybody knows of a ring, and sums in it: no secret has a place here."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from privfl.lattice._files import HEADER_BYTES, body_of, filled, under_header

Words = NDArray[np.uint64]
SEED_BYTES = 64
_HEAD = struct.Struct("<32s?QQQdQ")  # parameters, form, polynomials, degree, primes, scale, factor
_COUNT = struct.Struct("<Q")
_BLAKE2XB = b"\x01"  # the generator that makes a polynomial of a seed


@dataclass(frozen=True)
class Ring:
    """Name the polynomials modulo x^degree + 1 and one prime, and what is encrypted in them.

    ``BFV`` holds integers modulo ``2**plaintext_bits``, one a coefficient. ``CKKS`` holds complex
    numbers, half as many as coefficients. Everything here is public.

    Attributes:
        degree: a power of two from 1,024.
        modulus_bits: of the prime.
        plaintext_bits: of the integers of BFV; 0 for CKKS.

    Raises:
        ValueError: where SEAL knows no such ring of 128-bit security.
    """

    scheme: Literal["BFV", "CKKS"]
    degree: int
    modulus_bits: int
    plaintext_bits: int = 0

    @cached_property
    def context(self) -> Any:
        """SEAL's context, of parameters only."""
        return self.context_of()

    def context_of(self, generator: object = None) -> Any:
        """Make a context, of a random generator where a key is to come from a seed."""
        from tenseal import sealapi

        parameters = sealapi.EncryptionParameters(getattr(sealapi.SCHEME_TYPE, self.scheme))
        parameters.set_poly_modulus_degree(self.degree)
        primes = sealapi.CoeffModulus.Create(self.degree, [self.modulus_bits])
        parameters.set_coeff_modulus(primes)
        if self.plaintext_bits:
            parameters.set_plain_modulus(sealapi.Modulus(1 << self.plaintext_bits))
        if generator is not None:
            parameters.set_random_generator(generator)
        context = sealapi.SEALContext(parameters, True, sealapi.SEC_LEVEL_TYPE.TC128)
        if not context.parameters_set():
            raise ValueError(
                f"SEAL must know the ring. Found {self}: {context.parameters_error_message()}."
            )
        return context

    @cached_property
    def modulus(self) -> int:
        """The prime."""
        from tenseal import sealapi

        (prime,) = sealapi.CoeffModulus.Create(self.degree, [self.modulus_bits])
        return int(prime.value())

    @cached_property
    def parameters_id(self) -> bytes:
        """SEAL's hash of the parameters: 32 bytes."""
        return struct.pack("<4Q", *self.context.first_parms_id())

    @cached_property
    def evaluator(self) -> Any:
        """SEAL's evaluator, which adds."""
        from tenseal import sealapi

        return sealapi.Evaluator(self.context)

    @cached_property
    def encoder(self) -> Any:
        """SEAL's encoder of CKKS."""
        from tenseal import sealapi

        return sealapi.CKKSEncoder(self.context)

    def require(self, words: Words) -> None:
        """Raise a ValueError unless every word is below the prime: nothing else reaches SEAL."""
        if words.size and int(words.max()) >= self.modulus:
            raise ValueError("Words must be below the modulus. Found others.")

    def fresh(self, words: Words, seed: bytes) -> Any:
        """Make the ciphertext of one polynomial, (degree,) words, and of the seed of the other."""
        self.require(words)
        if words.shape != (self.degree,) or len(seed) != SEED_BYTES:
            raise ValueError("A fresh ciphertext has one polynomial and one seed.")
        return self._loaded(2, words, under_header(_BLAKE2XB + seed))

    def whole(self, words: Words) -> Any:
        """Make the ciphertext of two polynomials: (2, degree) words."""
        self.require(words)
        if words.shape != (2, self.degree):
            raise ValueError("A ciphertext has two polynomials.")
        return self._loaded(2, words, b"")

    def _loaded(self, size: int, words: Words, behind: bytes) -> Any:
        from tenseal import sealapi

        data = _COUNT.pack(words.size) + words.astype("<u8", copy=False).tobytes()
        body = self._head(size) + under_header(data) + behind
        return filled(sealapi.Ciphertext(), self.context, body)

    def _head(self, size: int) -> bytes:
        ntt = self.scheme == "CKKS"
        return _HEAD.pack(self.parameters_id, ntt, size, self.degree, 1, 1.0, 1)

    def words_of(self, ciphertext: Any) -> tuple[Words, bytes]:
        """Read a ciphertext of this process: its words, and the seed of a fresh one.

        -> (degree,) and 64 bytes, or (2, degree) and nothing.
        """
        body = body_of(ciphertext)
        start = _HEAD.size + HEADER_BYTES + _COUNT.size
        (count,) = _COUNT.unpack_from(body, start - _COUNT.size)
        end = start + 8 * count
        if body[: _HEAD.size] != self._head(2) or count not in (self.degree, 2 * self.degree):
            raise RuntimeError("SEAL wrote a ciphertext in a form that is not known here")
        words = np.frombuffer(body, "<u8", count, start)
        if count == self.degree:
            return words, body[end + HEADER_BYTES + 1 :]
        return words.reshape(2, self.degree), b""


class RunningSum:
    """Add ciphertexts as they come: memory for one sum, however many there are."""

    def __init__(self, ring: Ring) -> None:
        """Start with nothing."""
        self.ring = ring
        self._blocks: list[Any] = []

    def add(self, words: Words, seeds: bytes) -> None:
        """Add one sender's blocks: (blocks, degree) words and 64 bytes of seed for each.

        Raises:
            ValueError: for words that are none of the ring's; then nothing was added.
        """
        if self._blocks and len(words) != len(self._blocks):
            raise ValueError(f"words must hold {len(self._blocks)} blocks. Found {len(words)}.")
        sent = [
            self.ring.fresh(block, seeds[k * SEED_BYTES : (k + 1) * SEED_BYTES])
            for k, block in enumerate(words)
        ]
        if not self._blocks:
            self._blocks = sent
            return
        for total, block in zip(self._blocks, sent, strict=True):
            self.ring.evaluator.add_inplace(total, block)

    @classmethod
    def rebuilt(cls, ring: Ring, words: Words, seeds: Sequence[bytes]) -> "RunningSum":
        """Make a sum of its first polynomials (blocks, degree) and of all senders' seeds.

        Raises:
            ValueError: for words that are none of the ring's.
        """
        total, (first, *others) = cls(ring), seeds
        total.add(words, first)
        for each in others:
            total.add(np.zeros_like(words), each)
        return total

    def words(self) -> Words:
        """Return the sums: (blocks, 2, degree)."""
        return np.stack([self.ring.words_of(block)[0] for block in self._blocks])
