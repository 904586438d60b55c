"""A secret key, and what only its holders do."""

import struct
from collections.abc import Iterable
from typing import Any

import numpy as np

from privfl.lattice._plaintexts import (
    Slots,
    integers_of,
    plain_of_integers,
    plain_of_slots,
    slots_of,
)
from privfl.lattice._ring import SEED_BYTES, Ring, Words


class Secret:
    """Encrypt and decrypt under the key that ``seed`` (64 uniform bytes) stands for.

    The key is uniform and ternary. Errors are centred binomials of 2 x 21 bits: at most 21, of
    variance 10.5. They, and the polynomial that is sent as a seed, come from the operating system.

    Guarantees:
        - Equal seeds give equal keys.
        - No two ciphertexts share a polynomial.
    """

    def __init__(self, ring: Ring, seed: bytes) -> None:
        """Make the key."""
        from tenseal import sealapi

        if len(seed) != SEED_BYTES:
            raise ValueError(f"seed must be {SEED_BYTES} bytes. Found {len(seed)}.")
        factory = sealapi.Blake2xbPRNGFactory(list(struct.unpack("<8Q", seed)))
        self.ring = ring
        self._key = sealapi.KeyGenerator(ring.context_of(factory)).secret_key()
        self._encryptor = sealapi.Encryptor(ring.context, self._key)
        self._decryptor = sealapi.Decryptor(ring.context, self._key)

    def __repr__(self) -> str:
        """Say for which ring; the key stays out of sight."""
        return f"Secret({self.ring})"

    def __reduce__(self) -> str:
        """Refuse to be pickled."""
        raise TypeError("A Secret is not pickled: who has it decrypts. Keep its seed.")

    def encrypt(self, blocks: Words | Slots) -> tuple[Words, bytes]:
        """Encrypt blocks afresh: -> (blocks, degree) words and 64 bytes of seed for each.

        Args:
            blocks: (blocks, degree) integers for BFV, (blocks, degree / 2) complex for CKKS, which
                are rounded to whole coefficients.

        Raises:
            ValueError: for values that the ring cannot hold.
        """
        fresh = [
            self.ring.words_of(self._encryptor.encrypt_symmetric(plain))
            for plain in self._plaintexts(blocks)
        ]
        return np.stack([words for words, _ in fresh]), b"".join(seed for _, seed in fresh)

    def _plaintexts(self, blocks: Words | Slots) -> Iterable[Any]:
        make: Any = plain_of_integers if self.ring.scheme == "BFV" else plain_of_slots
        return (make(self.ring, block) for block in blocks)

    def decrypt_integers(self, words: Words) -> Words:
        """Decrypt BFV: (blocks, 2, degree) -> (blocks, degree) integers modulo 2^plaintext_bits."""
        sealed = map(self.ring.whole, words)
        return np.stack([integers_of(self.ring, self._decrypted(each)) for each in sealed])

    def decrypt_slots(self, words: Words, flood: Slots | None = None) -> Slots:
        """Decrypt CKKS: (blocks, 2, degree) -> (blocks, degree / 2) complex numbers.

        ``flood``, of the result's shape, is rounded to a whole polynomial and added to each
        ciphertext, so that nothing is ever decrypted without it.
        """
        out = np.empty((len(words), self.ring.degree // 2), np.complex128)
        for k, block in enumerate(words):
            sealed = self.ring.whole(block)
            if flood is not None:
                self.ring.evaluator.add_plain_inplace(sealed, plain_of_slots(self.ring, flood[k]))
            out[k] = slots_of(self.ring, self._decrypted(sealed))
        return out

    def opens(self, words: Words) -> bool:
        """Tell whether a ciphertext of BFV, (2, degree), decrypts rightly under this key."""
        return bool(self._decryptor.invariant_noise_budget(self.ring.whole(words)) > 0)

    def _decrypted(self, sealed: Any) -> Any:
        from tenseal import sealapi

        plain = sealapi.Plaintext()
        self._decryptor.decrypt(sealed, plain)
        return plain
