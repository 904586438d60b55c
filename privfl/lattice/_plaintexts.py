"""Plaintexts: integers a coefficient, or complex numbers a slot. Nothing here is secret by itself.

Words of a polynomial are its values at the points of the number-theoretic transform, but for BFV's
plaintexts, whose words are coefficients.
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from privfl.lattice._files import HEADER_BYTES, body_of, filled, under_header
from privfl.lattice._ring import Ring, Words

Slots = NDArray[np.complex128]
_HEAD = struct.Struct("<32sQd")  # parameters (none where the words are coefficients), count, scale
_COUNT = struct.Struct("<Q")


def encode(ring: Ring, slots: Slots) -> Words:
    """Round to the nearest whole polynomial of CKKS: (degree / 2,) complex -> (degree,) words.

    >>> import numpy as np
    >>> ring = Ring("CKKS", degree=1024, modulus_bits=27)
    >>> slots = np.full(512, 40 + 0j)
    >>> bool(np.allclose(decode(ring, encode(ring, slots)), slots))
    True
    """
    return words_of(plain_of_slots(ring, slots))


def decode(ring: Ring, words: Words) -> Slots:
    """Undo `encode`: (degree,) words -> (degree / 2,) complex."""
    return slots_of(ring, _plain_of(ring, words, ring.parameters_id))


def coefficients(ring: Ring, words: Words) -> NDArray[np.int64]:
    """Return a polynomial's coefficients, centred: (degree,) words -> (degree,)."""
    pair = ring.whole(np.stack([words, words]))  # SEAL transforms ciphertexts only
    ring.evaluator.transform_from_ntt_inplace(pair)
    found = np.frombuffer(body_of(pair)[-8 * ring.degree :], "<u8").astype(np.int64)
    return np.where(found > ring.modulus // 2, found - ring.modulus, found)


def plain_of_slots(ring: Ring, slots: Slots) -> Any:
    """Make SEAL's plaintext of CKKS."""
    from tenseal import sealapi

    plain = sealapi.Plaintext()
    ring.encoder.encode(slots.tolist(), 1.0, plain)
    return plain


def slots_of(ring: Ring, plain: Any) -> Slots:
    """Undo `plain_of_slots`."""
    return np.array(ring.encoder.decode_complex(plain))


def plain_of_integers(ring: Ring, words: Words) -> Any:
    """Make SEAL's plaintext of BFV: an integer below 2^plaintext_bits a coefficient."""
    return _plain_of(ring, words, bytes(32))


def integers_of(ring: Ring, plain: Any) -> Words:
    """Undo `plain_of_integers`; SEAL leaves zeros at the end out."""
    found, out = words_of(plain), np.zeros(ring.degree, np.uint64)
    out[: len(found)] = found
    return out


def words_of(plain: Any) -> Words:
    """Return the words of a plaintext."""
    return np.frombuffer(body_of(plain), "<u8", offset=_HEAD.size + HEADER_BYTES + _COUNT.size)


def _plain_of(ring: Ring, words: Words, parameters: bytes) -> Any:
    from tenseal import sealapi

    data = _COUNT.pack(len(words)) + words.astype("<u8", copy=False).tobytes()
    body = _HEAD.pack(parameters, len(words), 1.0) + under_header(data)
    return filled(sealapi.Plaintext(), ring.context, body)
