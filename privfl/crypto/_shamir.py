"""Shares of a secret, any t of which give it back and fewer say nothing."""

import math
import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate

PRIME = 2**256 + 297  # the least prime above 2^256: every 32-byte secret is below it
SHARE_BYTES = 33


def split(secret: int, threshold: int, points: Sequence[int], prime: int = PRIME) -> dict[int, int]:
    """Share ``secret`` among ``points``, any ``threshold`` of which can ``combine`` it.

    The shares are the values at ``points`` of a random polynomial of degree ``threshold - 1``
    that is ``secret`` at zero (Shamir 1979, https://doi.org/10.1145/359168.359176).

    Guarantees:
        - Any ``threshold`` shares give the secret.
        - Any ``threshold - 1`` shares are uniform and independent of the secret.
        - Sums of shares at the same points are shares of the sum.

    Raises:
        ValueError: if ``secret`` is not in [0, prime), points repeat or are not in [1, prime), or
            ``threshold`` is not from 1 to the number of points.

    >>> shares = split(secret=1234, threshold=2, points=[1, 2, 3])
    >>> combine({point: shares[point] for point in (1, 3)})
    1234
    """
    _require_points(points, prime)
    if not 0 <= secret < prime:
        raise ValueError("secret must be from 0 to prime - 1. Found another number.")
    if not 1 <= threshold <= len(points):
        wanted = f"threshold must be from 1 to the number of points, {len(points)}"
        raise ValueError(f"{wanted}. Found {threshold}.")
    coefficients = [secrets.randbelow(prime) for _ in range(threshold - 1)] + [secret]
    return {point: _value(coefficients, point, prime) for point in points}


def combine(shares: Mapping[int, int], prime: int = PRIME) -> int:
    """Map shares (point to value) back to the secret they were split from.

    Whether there are enough shares is the caller's matter: fewer than the threshold, or a wrong
    one among them, give a number in [0, prime) that has nothing to do with the secret.

    Raises:
        ValueError: if there are no shares or a point is not in [1, prime).
    """
    points = tuple(sorted(shares))
    weights = lagrange(points, prime)
    return sum(w * shares[x] for w, x in zip(weights, points, strict=True)) % prime


@lru_cache(maxsize=64)  # one set of survivors serves all secrets they hold shares of
def lagrange(points: tuple[int, ...], prime: int = PRIME) -> tuple[int, ...]:
    """Map points to the weights whose sum with a polynomial's values is its value at zero.

    The weight of x is the product over the other points y of y / (y - x). All numerators are one
    product, and all denominators are inverted together (Montgomery 1987,
    https://doi.org/10.1090/S0025-5718-1987-0866113-7, section 10.3.1).

    Raises:
        ValueError: if there are no points, or some repeat or are not in [1, prime).

    >>> lagrange((1, 2), prime=11)
    (2, 10)
    """
    _require_points(points, prime)
    numerator = math.prod(points)
    below = [x * math.prod(y - x for y in points if y != x) % prime for x in points]
    return tuple(numerator * inverse % prime for inverse in _inverses(below, prime))


def share_to_bytes(share: int) -> bytes:
    """Write a share below ``PRIME``: -> 33 bytes, little-endian."""
    _require_share(share)
    return share.to_bytes(SHARE_BYTES, "little")


def share_from_bytes(data: bytes) -> int:
    """Read what ``share_to_bytes`` wrote.

    Raises:
        ValueError: if ``data`` is not 33 bytes or not below ``PRIME``: one form a share.

    >>> share_from_bytes(share_to_bytes(2**256 + 296)) == PRIME - 1
    True
    """
    if len(data) != SHARE_BYTES:
        raise ValueError(f"A share must be {SHARE_BYTES} bytes. Found {len(data)}.")
    share = int.from_bytes(data, "little")
    _require_share(share)
    return share


def _value(coefficients: Sequence[int], point: int, prime: int) -> int:
    value = 0
    for coefficient in coefficients:
        value = (value * point + coefficient) % prime
    return value


def _inverses(numbers: Sequence[int], prime: int) -> list[int]:
    """Invert all at the cost of one: from the inverse of their product, last to first."""
    before = list(accumulate(numbers, lambda a, b: a * b % prime, initial=1))
    rest = pow(before.pop(), -1, prime)
    found = []
    for number, product in zip(reversed(numbers), reversed(before), strict=True):
        found.append(rest * product % prime)
        rest = rest * number % prime
    return found[::-1]


def _require_points(points: Sequence[int], prime: int) -> None:
    if not points or not all(0 < point < prime for point in points):
        raise ValueError(f"points must be from 1 to prime - 1, at least one. Found {list(points)}.")
    if len(set(points)) < len(points):
        twice = sorted({point for point in points if points.count(point) > 1})
        raise ValueError(f"points must differ. Found {twice} more than once.")


def _require_share(share: int) -> None:
    if not 0 <= share < PRIME:
        raise ValueError("A share must be from 0 to PRIME - 1. Found another number.")
