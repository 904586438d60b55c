"""Masked words from their definition: AES of a counter, block by block, and sums of whole numbers.

Counter mode is NIST SP 800-38A, 6.5; the counter is one big-endian number of 128 bits and wraps.
"""

from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def key_stream(key: bytes, n: int) -> bytes:
    cipher = Cipher(algorithms.AES(key[:16]), modes.ECB()).encryptor()
    start = int.from_bytes(key[16:], "big")
    counters = ((start + k) % 2**128 for k in range(-(-n // 16)))
    return b"".join(cipher.update(counter.to_bytes(16, "big")) for counter in counters)[:n]


def mask(key: bytes, n: int, bits: int) -> list[int]:
    """``n`` words of ``bits`` bits, little-endian."""
    size = bits // 8
    raw = key_stream(key, n * size)
    return [int.from_bytes(raw[k : k + size], "little") for k in range(0, len(raw), size)]


def masked(words: Sequence[int], keys: Sequence[tuple[bytes, int]], bits: int) -> list[int]:
    """Words of ``bits`` bits plus or minus the mask of each key, modulo 2^bits."""
    total = [int(word) for word in words]
    for key, sign in keys:
        stream = mask(key, len(total), bits)
        total = [word + sign * each for word, each in zip(total, stream, strict=True)]
    return [word % 2**bits for word in total]
