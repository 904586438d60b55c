"""Ring learning with errors from its papers, with Python's integers, one coefficient after another.

Polynomials are object arrays of N integers modulo x^N + 1. BFV is Fan and Vercauteren 2012
(https://eprint.iacr.org/2012/144, section 4); the embedding is that of Cheon, Kim, Kim and Song
2017 (https://eprint.iacr.org/2016/421, section 2.2) with the slots in SEAL's order: slot j is the
value at the 3^j-th power of exp(i pi / N).
"""

import math
from collections.abc import Sequence

import numpy as np


def polynomial(coefficients: Sequence[int]) -> np.ndarray:
    return np.array([int(c) for c in coefficients], object)


def negacyclic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product modulo x^N + 1: what passes degree N - 1 comes back with the other sign."""
    n = len(a)
    out = polynomial([0] * n)
    for k, factor in enumerate(a):
        if factor:
            out[k:] += factor * b[: n - k]
            out[:k] -= factor * b[n - k :]
    return out


def centred(a: np.ndarray, modulus: int) -> np.ndarray:
    """Representatives from -modulus / 2 on."""
    half = modulus // 2
    return (a + half) % modulus - half


def phase(ciphertext: np.ndarray, secret: np.ndarray, modulus: int) -> np.ndarray:
    """c0 + c1 s, centred: the scaled message and the error."""
    c0, c1 = (polynomial(words) for words in ciphertext)
    return centred(c0 + negacyclic(secret, c1), modulus)


def rounded(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def bfv_scaled(message: Sequence[int], modulus: int, plain: int) -> np.ndarray:
    """q / t times the message, rounded."""
    return polynomial([rounded(modulus * int(m), plain) for m in message])


def bfv_decrypt(ciphertext: np.ndarray, secret: np.ndarray, modulus: int, plain: int) -> np.ndarray:
    found = phase(ciphertext, secret, modulus)
    return polynomial([rounded(plain * x, modulus) % plain for x in found])


def roots(degree: int) -> np.ndarray:
    """The point of each slot: powers 3^0, 3^1, ... of a 2N-th root of one."""
    powers = [pow(3, j, 2 * degree) for j in range(degree // 2)]
    return np.array([complex(math.cos(a), math.sin(a)) for a in np.pi * np.array(powers) / degree])


def slots(coefficients: np.ndarray) -> np.ndarray:
    """(N,) real coefficients -> (N / 2,) values at the points: Horner's rule."""
    points = roots(len(coefficients))
    out = np.zeros(len(points), complex)
    for c in reversed(coefficients):
        out = out * points + float(c)
    return out


def coefficients(values: np.ndarray) -> np.ndarray:
    """(N / 2,) values -> the (N,) real coefficients: the conjugates are the other half."""
    points = roots(2 * len(values)).conj()
    power, out = np.ones_like(points), []
    for _ in range(2 * len(values)):
        out.append(float((values * power).real.sum()) / len(values))
        power = power * points
    return np.array(out)
