"""Shares, by algebra. Statistical tests fail by chance once in a million runs each."""

import itertools
import math
import secrets
from collections import Counter

import pytest
from scipy import stats
from sympy import nextprime

from privfl.crypto import (
    PRIME,
    SHARE_BYTES,
    combine,
    lagrange,
    share_from_bytes,
    share_to_bytes,
    split,
)

FALSE_ALARM = 1e-6
LARGE = [0, 1, 2**255 - 19, 2**255, 2**255 + 5, 2**256 - 1, PRIME - 1]


def test_the_prime_is_the_least_above_every_secret_of_32_bytes():
    assert nextprime(2**256) == PRIME
    assert PRIME.bit_length() <= 8 * SHARE_BYTES


@pytest.mark.parametrize("secret", LARGE)
def test_any_threshold_of_the_shares_give_the_secret(secret):
    shares = split(secret, 3, [1, 2, 5, 8, 1000])
    for n in (3, 4, 5):
        for points in itertools.combinations(shares, n):
            assert combine({point: shares[point] for point in points}) == secret


@pytest.mark.parametrize("secret", [1, 2**255 + 1, 2**256 - 1])
def test_one_share_less_gives_something_else(secret):
    shares = split(secret, 4, range(1, 7))
    for points in itertools.combinations(shares, 3):
        assert combine({point: shares[point] for point in points}) != secret


def test_sixty_seven_of_a_hundred_share_a_key_in_any_order():
    secret = secrets.randbits(256)
    shares = split(secret, 67, range(1, 101))
    assert combine(dict(list(shares.items())[:67])) == secret
    assert combine(dict(list(reversed(shares.items()))[:67])) == secret


@pytest.mark.parametrize(
    ("coefficients", "shares"),
    [
        ([3], {1: 8, 2: 0, 3: 3}),  # 5 + 3x mod 11
        ([2, 2], {1: 9, 2: 6, 3: 7}),  # 5 + 2x + 2x^2 mod 11
    ],
)
def test_a_small_polynomial_by_hand(monkeypatch, coefficients, shares):
    drawn = iter(coefficients)
    asked = []
    monkeypatch.setattr(secrets, "randbelow", lambda n: (asked.append(n), next(drawn))[1])
    assert split(5, len(coefficients) + 1, [1, 2, 3], prime=11) == shares
    assert asked == [11] * len(coefficients)
    assert combine({1: shares[1], 2: shares[2], 3: shares[3]}, prime=11) == 5


@pytest.mark.parametrize("secret", [0, 4, 10])
@pytest.mark.parametrize("threshold", [2, 3])
def test_one_share_below_the_threshold_is_uniform_whatever_the_secret(secret, threshold):
    """Chi-square of the t - 1 shares over all 11^(t-1) values, 200 expected of each."""
    cells = 11 ** (threshold - 1)
    seen = Counter()
    for _ in range(200 * cells):
        shares = split(secret, threshold, [2, 7, 9], prime=11)
        seen[tuple(shares.values())[: threshold - 1]] += 1
    counts = list(seen.values()) + [0] * (cells - len(seen))
    assert stats.chisquare(counts).pvalue > FALSE_ALARM


def test_a_threshold_of_one_gives_the_secret_to_everyone():
    assert set(split(77, 1, [1, 2, 3]).values()) == {77}


def test_sums_of_shares_share_the_sum():
    a, b = secrets.randbelow(PRIME), secrets.randbelow(PRIME)
    ones, others = split(a, 3, [1, 2, 3, 4]), split(b, 3, [1, 2, 3, 4])
    sums = {point: (3 * ones[point] + others[point]) % PRIME for point in (1, 2, 4)}
    assert combine(sums) == (3 * a + b) % PRIME


@pytest.mark.parametrize("prime", [11, 2**61 - 1, PRIME])
def test_the_weights_are_those_of_lagrange_one_by_one(prime):
    for points in ((1,), (1, 2), (3, 1, 7), (10, 9, 2, 4, 5), (prime - 1, 1)):
        wanted = tuple(
            math.prod(y * pow(y - x, -1, prime) for y in points if y != x) % prime for x in points
        )
        assert lagrange(points, prime) == wanted


def test_a_set_of_survivors_is_worked_out_once():
    secrets_shared = [split(k, 2, [4, 77, 5]) for k in range(10)]
    before = lagrange.cache_info().misses
    assert [combine({77: s[77], 4: s[4]}) for s in secrets_shared] == list(range(10))
    assert [combine({4: s[4], 77: s[77]}) for s in secrets_shared] == list(range(10))
    assert lagrange.cache_info().misses - before <= 1


@pytest.mark.parametrize("points", [[1, 2, 1], [5, 5], [3, 3, 4, 4]])
def test_points_that_repeat_are_refused(points):
    with pytest.raises(ValueError, match=r"points must differ\. Found \[.*\] more than once"):
        split(7, 2, points)
    with pytest.raises(ValueError, match="points must differ"):
        lagrange(tuple(points))


@pytest.mark.parametrize("points", [[], [0, 1], [-1, 1], [1, 11], [1, 12]])
def test_points_off_the_field_or_at_the_secret_are_refused(points):
    with pytest.raises(ValueError, match="points must be from 1 to prime - 1"):
        split(7, 1, points, prime=11)
    with pytest.raises(ValueError, match="points must be from 1 to prime - 1"):
        combine(dict.fromkeys(points, 1), prime=11)


@pytest.mark.parametrize("threshold", [-1, 0, 4])
def test_a_threshold_that_cannot_be_met_is_refused(threshold):
    with pytest.raises(ValueError, match=rf"number of points, 3\. Found {threshold}\."):
        split(7, threshold, [1, 2, 3])


@pytest.mark.parametrize("secret", [-123456789, PRIME, PRIME + 123456789])
def test_a_secret_off_the_field_is_refused_and_not_shown(secret):
    for call in (lambda: split(secret, 2, [1, 2]), lambda: share_to_bytes(secret)):
        with pytest.raises(ValueError, match=r"from 0 to (prime|PRIME) - 1") as caught:
            call()
        assert str(abs(secret))[-9:] not in str(caught.value)


@pytest.mark.parametrize("share", LARGE)
def test_a_share_is_33_bytes_and_comes_back(share):
    data = share_to_bytes(share)
    assert len(data) == SHARE_BYTES == 33
    assert share_from_bytes(data) == share


def test_a_share_has_one_form():
    assert share_to_bytes(1) == b"\x01" + bytes(32)
    for above in (PRIME, PRIME + 1, 2**264 - 1):
        with pytest.raises(ValueError, match="A share must be from 0"):
            share_from_bytes(above.to_bytes(33, "little"))
    for n in (0, 32, 34):
        with pytest.raises(ValueError, match=f"must be 33 bytes. Found {n}"):
            share_from_bytes(bytes(n))
