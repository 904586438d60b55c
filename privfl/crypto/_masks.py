"""Masks: the key stream of AES-128 in counter mode, added to words that wrap around."""

import io
from collections.abc import Iterable, Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from privfl.crypto._length import require_length
from privfl.crypto._packing import Words, pack_block, packed_size, word_type

MaskKey = tuple[bytes, int]  # 16 bytes of key and 16 of first counter; +1 adds, -1 subtracts

_CHUNK = 1 << 17  # bytes: chunk, key stream and zeros lie in the cache of one core together
_BATCH = 2048  # keys at once: an open cipher takes 800 bytes, and a server takes off 100,000 masks
_ZEROS = memoryview(bytes(_CHUNK))  # a counter mode encrypts zeros to its key stream
_TYPES = tuple(np.dtype(each) for each in ("<u2", "<u4", "<u8"))


def add_masks(words: Words, keys: Sequence[MaskKey]) -> None:
    """Add (+1) or subtract (-1) the key stream of every key, in place: (n,) of 16, 32 or 64 bits.

    Word ``i`` changes by word ``i`` of the little-endian key stream of AES-128-CTR (NIST SP
    800-38A, 6.5), modulo the word's range. A key is 32 bytes: 16 for the cipher, 16 for the first
    counter, which is as secret as the key so that no table serves against many keys at once.

    Guarantees:
        - Adding and subtracting the same key leaves the words as they were.
        - Masks modulo 2^bits are those modulo the word's range, cut to ``bits`` bits.

    Raises:
        ValueError: if ``words`` is not a vector of unsigned words, a key is not 32 bytes, or a
            sign is neither +1 nor -1.

    >>> words, key = np.array([5, 6, 7], np.uint32), b"16 bytes of key!" + bytes(16)
    >>> add_masks(words, [(key, +1)]); add_masks(words, [(key, -1)]); words
    array([5, 6, 7], dtype=uint32)
    """
    _require_words(words)
    _require_keys(keys)
    for first in range(0, len(keys), _BATCH):
        masks = _Masks(keys[first : first + _BATCH], words.dtype)
        for chunk in _chunks(words):
            masks.add(chunk)


def masked(words: Words, keys: Sequence[MaskKey], bits: int) -> bytes:
    """Pack ``words`` plus their masks modulo 2^``bits``: (n,) -> ceil(n bits / 8) bytes.

    The same as ``add_masks`` and ``pack``, but ``words`` stays as it is, and no second copy of it
    is made: one chunk at a time is copied, masked and packed.

    Raises:
        ValueError: as ``add_masks``, or if ``words`` is not of ``word_type(bits)``: masks of wider
            words would not be those that the other side takes off.

    >>> words = np.array([1, 2, 3], np.uint16)
    >>> len(masked(words, [(b"16 bytes of key!" + bytes(16), -1)], bits=12)), words.tolist()
    (5, [1, 2, 3])
    """
    if words.dtype != word_type(bits):
        raise ValueError(f"words of {bits} bits must be {word_type(bits)}. Found {words.dtype}.")
    _require_words(words)
    _require_keys(keys)
    masks, ones = _Masks(keys, words.dtype), words.dtype.type(2**bits - 1)
    out = io.BytesIO(bytes(packed_size(len(words), bits)))  # full size at once: nothing is copied
    for chunk in _chunks(words):
        copy = chunk.copy()
        masks.add(copy)
        copy &= ones
        out.write(pack_block(copy, bits))
    return out.getvalue()


class _Masks:
    """The key streams of some keys, which go on where the last chunk ended."""

    def __init__(self, keys: Sequence[MaskKey], dtype: np.dtype[np.unsignedinteger]) -> None:
        self._ciphers = [(_cipher(key), np.add if sign > 0 else np.subtract) for key, sign in keys]
        self._buffer = bytearray(_CHUNK + 15)  # the cipher may ask for a block more than it fills
        self._stream: Words = np.frombuffer(self._buffer, dtype, _CHUNK // dtype.itemsize)

    def add(self, chunk: Words) -> None:
        """Add the next masks to ``chunk``: keys inside, chunks outside, so that it stays cached."""
        zeros, stream = _ZEROS[: chunk.nbytes], self._stream[: len(chunk)]
        for cipher, operation in self._ciphers:
            cipher.update_into(zeros, self._buffer)
            operation(chunk, stream, out=chunk)


def _cipher(key: bytes) -> CipherContext:
    return Cipher(algorithms.AES(key[:16]), modes.CTR(key[16:])).encryptor()


def _chunks(words: Words) -> Iterable[Words]:
    step = _CHUNK // words.itemsize
    return (words[at : at + step] for at in range(0, len(words), step))


def _require_words(words: Words) -> None:
    if words.ndim != 1 or words.dtype not in _TYPES:
        found = f"shape {words.shape} of {words.dtype}"
        raise ValueError(f"words must be a vector of uint16, uint32 or uint64. Found {found}.")


def _require_keys(keys: Sequence[MaskKey]) -> None:
    for key, sign in keys:
        require_length("A mask key", key, 32)
        if sign not in (1, -1):
            raise ValueError(f"The sign of a mask must be +1 or -1. Found {sign}.")
