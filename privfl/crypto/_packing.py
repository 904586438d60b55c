"""Unsigned words without their leading zeros: b bits each, one after the other."""

import io
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike, NDArray

_BLOCK = 1 << 16  # words: the work stays in cache, and a multiple of 64 ends on a whole byte
Words = NDArray[np.unsignedinteger]


def packed_size(n: int, bits: int) -> int:
    """Count the bytes of ``n`` words of ``bits`` bits.

    >>> packed_size(3, 26)
    10
    """
    return -(-n * bits // 8)


def word_type(bits: int) -> np.dtype[np.unsignedinteger]:
    """Pick the type that computes modulo 2^``bits``: uint16 up to 16 bits, uint32, uint64.

    >>> [word_type(bits).name for bits in (1, 16, 17, 33)]
    ['uint16', 'uint16', 'uint32', 'uint64']
    """
    if not 1 <= bits <= 64:
        raise ValueError(f"bits must be from 1 to 64. Found {bits}.")
    return np.dtype("<u2" if bits <= 16 else "<u4" if bits <= 32 else "<u8")


def pack(words: Words, bits: int) -> bytes:
    """Pack n unsigned words below 2^``bits``: (n,) -> ceil(n bits / 8) bytes.

    The bytes are one little-endian number: word ``i`` takes its bits from ``i * bits`` on.

    Guarantees:
        - ``unpack`` gives the words back, and no other bytes of any length give the same words.

    Raises:
        ValueError: if a word has more than ``bits`` bits (the word is not shown).

    >>> pack(np.array([1, 2, 3], np.uint16), bits=4).hex()
    '2103'
    """
    word_type(bits)
    out = io.BytesIO(bytes(packed_size(len(words), bits)))  # full size at once: nothing is copied
    for at in range(0, len(words), _BLOCK):
        block = words[at : at + _BLOCK]
        if int(block.max()) >> bits:
            raise ValueError(f"words must be below 2^{bits}. Found one that is not.")
        out.write(pack_block(block, bits))
    return out.getvalue()


def unpack(data: bytes, bits: int, n: int, dtype: DTypeLike) -> Words:
    """Read ``n`` words of ``bits`` bits: -> (n,) of ``dtype``; the inverse of ``pack``.

    Raises:
        ValueError: if ``data`` has another length, a bit set after the last word, or ``dtype`` is
            too small for a word.
    """
    _require_packed(data, bits, n)
    out = np.empty(n, dtype)
    if out.dtype.kind != "u" or 8 * out.itemsize < bits:
        raise ValueError(f"dtype must be unsigned, of at least {bits} bits. Found {out.dtype}.")
    raw, step = np.frombuffer(data, np.uint8), packed_size(_BLOCK, bits)
    for i, at in enumerate(range(0, n, _BLOCK)):
        block = out[at : at + _BLOCK]
        block[:] = _unpack_block(raw[i * step : (i + 1) * step], bits)[: len(block)]
    return out


def _require_packed(data: bytes, bits: int, n: int) -> None:
    word_type(bits)
    size = packed_size(n, bits)
    if len(data) != size:
        raise ValueError(f"{n} words of {bits} bits must be {size} bytes. Found {len(data)}.")
    if n and data[-1] >> (8 - (8 * size - n * bits)):
        raise ValueError("The bits after the last word must be zero. Found others.")


def pack_block(words: Words, bits: int) -> memoryview:
    """Pack words that are known to fit, all at once; see ``pack``."""
    whole = np.zeros(-(-len(words) // 64) * 64, "<u8")
    whole[: len(words)] = words
    return _join(whole, bits).view(np.uint8).data[: packed_size(len(words), bits)]


def _unpack_block(raw: NDArray[np.uint8], bits: int) -> NDArray[np.uint64]:
    whole = np.zeros(-(-len(raw) // (8 * bits)) * bits, "<u8")
    whole.view(np.uint8)[: len(raw)] = raw
    return _part(whole, bits)


def _join(words: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    """Close the gaps: (64 m,) of ``bits`` bits -> (bits m,) of 64 bits."""
    if bits <= 32:  # two fit into one: half as many, twice as wide
        return _join(words[0::2] | words[1::2] << np.uint64(bits), 2 * bits)
    columns, width = _period(bits)
    narrow = words.reshape(-1, columns)
    wide = np.zeros((len(narrow), width), "<u8")
    for i, at, shift in _places(columns, bits):
        wide[:, at] |= narrow[:, i] << np.uint64(shift)
        if shift + bits > 64:
            wide[:, at + 1] |= narrow[:, i] >> np.uint64(64 - shift)
    return wide.ravel()


def _part(wide: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    """Undo ``_join``."""
    if bits <= 32:
        pairs = _part(wide, 2 * bits)
        low = pairs & np.uint64(2**bits - 1)
        return np.stack([low, pairs >> np.uint64(bits)], axis=1).ravel()
    columns, width = _period(bits)
    wide = wide.reshape(-1, width)
    narrow = np.empty((len(wide), columns), "<u8")
    for i, at, shift in _places(columns, bits):
        narrow[:, i] = wide[:, at] >> np.uint64(shift)
        if shift + bits > 64:
            narrow[:, i] |= wide[:, at + 1] << np.uint64(64 - shift)
    narrow &= np.uint64(2**bits - 1)
    return narrow.ravel()


def _period(bits: int) -> tuple[int, int]:
    """After how many words of ``bits`` bits a word of 64 bits ends too, and how many those are."""
    return 64 // math.gcd(bits, 64), bits // math.gcd(bits, 64)


def _places(columns: int, bits: int) -> Iterator[tuple[int, int, int]]:
    """Yield each column with the wide word and the bit in it at which it starts."""
    return ((i, *divmod(i * bits, 64)) for i in range(columns))
