"""The key stream of `privfl.crypto.Stream` from its definition: AES-256 of a counter, by blocks."""

import hashlib
import math

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def derived(key: bytes, label: bytes) -> bytes:
    return hashlib.sha256(b"privfl stream" + key + label).digest()


def book(key: bytes):
    """AES, block by block."""
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor()


def counter_blocks(key: bytes, n: int) -> bytes:
    """AES of 0, 1, 2, … written big-endian: what counter mode is."""
    cipher = book(key)
    blocks = [cipher.update(k.to_bytes(16, "big")) for k in range(-(-n // 16))]
    return b"".join(blocks)[:n]


def words(raw: bytes) -> list[int]:
    """53-bit numbers from little-endian words, by whole-number arithmetic."""
    return [int.from_bytes(raw[k : k + 8], "little") // 2**11 for k in range(0, len(raw), 8)]


def uniforms(raw: bytes) -> list[float]:
    return [(word + 1) / 2**53 for word in words(raw)]


def normals(raw: bytes, n: int) -> list[float]:
    """Box and Muller 1958: radius from the first half of the uniforms, angle from the second."""
    u = uniforms(raw)
    half = len(u) // 2
    radius = [math.sqrt(-2 * math.log(x)) for x in u[:half]]
    angle = [2 * math.pi * x for x in u[half:]]
    first = [r * math.cos(a) for r, a in zip(radius, angle, strict=True)]
    second = [r * math.sin(a) for r, a in zip(radius, angle, strict=True)]
    return (first + second)[:n]
