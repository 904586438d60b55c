"""SEAL's words are ring learning with errors, as the papers have it."""

import numpy as np
import pytest
from scipy.stats import binom, chi2

from oracles.ring_lwe import (
    bfv_decrypt,
    bfv_scaled,
    centred,
    coefficients,
    negacyclic,
    phase,
    polynomial,
    slots,
)
from privfl.defenses.he._key import Key
from privfl.lattice import SEED_BYTES, Ring, RunningSum, Secret

BFV = Ring("BFV", 1024, 27, plaintext_bits=8)
CKKS = Ring("CKKS", 1024, 27)
SEED = bytes(range(64))
PLAIN = 1 << 8
BINOMIAL = binom(42, 0.5, loc=-21)  # centred, of 2 x 21 bits


def expanded(ring, *sent):
    """Sums with both polynomials: (blocks, 2, degree)."""
    total = RunningSum(ring)
    for words, seeds in sent:
        total.add(words, seeds)
    return total.words()


def secret_of(key):
    """The key's coefficients, read by decrypting a multiple of it: (N,) of -1, 0, 1."""
    ring = key.ring
    words = np.zeros((1, 2, ring.degree), np.uint64)
    if ring.scheme == "BFV":  # a constant polynomial is its first coefficient
        words[0, 1, 0] = ring.modulus >> ring.plaintext_bits
        return centred(polynomial(key.decrypt_integers(words)[0]), 1 << ring.plaintext_bits)
    words[0, 1] = 1 << 20  # and the same value at every root
    return polynomial(np.rint(coefficients(key.decrypt_slots(words)[0]) / 2**20))


@pytest.fixture(scope="module")
def exact():
    return Secret(BFV, SEED)


@pytest.fixture(scope="module")
def approximate():
    return Secret(CKKS, SEED)


def numbers(n=1, seed=0):
    return np.random.default_rng(seed).integers(0, PLAIN, (n, BFV.degree), dtype=np.uint64)


# the key


@pytest.mark.parametrize("ring", [BFV, CKKS], ids=lambda ring: ring.scheme)
def test_a_secret_is_ternary_with_a_third_of_each(ring):
    """Counts are off by 6 deviations with a chance below 1e-8; the seeds are fixed."""
    found = secret_of(Secret(ring, SEED))
    counts = [int((found == value).sum()) for value in (-1, 0, 1)]
    assert sum(counts) == ring.degree
    deviation = (ring.degree * 2 / 9) ** 0.5
    assert max(abs(count - ring.degree / 3) for count in counts) < 6 * deviation


def test_equal_seeds_give_equal_keys_and_another_byte_another_key():
    assert list(secret_of(Secret(BFV, SEED))) == list(secret_of(Secret(BFV, SEED)))
    mine = secret_of(Secret(BFV, SEED))
    for place in (0, 31, 63):
        changed = SEED[:place] + bytes([SEED[place] ^ 1]) + SEED[place + 1 :]
        other = secret_of(Secret(BFV, changed))
        assert 0.6 < (mine != other).mean() < 0.74  # two thirds, by 5 deviations


def test_a_key_of_another_seed_does_not_open(exact):
    words = expanded(BFV, exact.encrypt(numbers()))[0]
    assert exact.opens(words)
    assert Secret(BFV, SEED).opens(words)
    for k in range(20):
        other = Secret(BFV, bytes([k]) * 64)
        assert not other.opens(words)
        assert (other.decrypt_integers(words[None])[0] != numbers()[0]).mean() > 0.95


RINGS = [
    CKKS,
    BFV,
    Ring("CKKS", 1024, 26),
    Ring("CKKS", 2048, 27),
    Ring("BFV", 1024, 27, plaintext_bits=9),
]


def test_each_ring_has_another_secret_of_one_key():
    found = [secret_of(Key(bytes(range(32)), 0).secret(ring))[:1024] for ring in RINGS]
    for k, one in enumerate(found):
        again = secret_of(Key(bytes(range(32)), 7).secret(RINGS[k]))
        assert list(one) == list(again[:1024])
        for other in found[:k]:
            assert 0.6 < (one != other).mean() < 0.74


def test_another_key_has_another_secret_in_the_same_ring():
    first, second = (secret_of(Key(bytes([k]) * 32, 0).secret(BFV)) for k in (1, 2))
    assert 0.6 < (first != second).mean() < 0.74


# ciphertexts


def test_errors_of_fresh_ciphertexts_are_centred_binomials_of_42_bits(approximate):
    """Chi-square over the values; a false alarm once in a million runs. None passes 21, ever."""
    blocks = 40
    sent = approximate.encrypt(np.zeros((blocks, CKKS.degree // 2), complex))
    found = approximate.decrypt_slots(expanded(CKKS, sent))
    raw = np.stack([coefficients(row) for row in found])
    errors = np.rint(raw).astype(int)
    assert np.abs(raw - errors).max() < 1e-6
    assert np.abs(errors).max() <= 21
    cells = np.clip(errors, -9, 9)
    expected = BINOMIAL.pmf(np.arange(-9, 10)) * errors.size
    expected[0], expected[-1] = (BINOMIAL.cdf(-9) * errors.size,) * 2
    counts = np.array([(cells == value).sum() for value in range(-9, 10)])
    assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-6, len(expected) - 1)
    # the mean of 40,960 squares has a deviation of .073
    assert np.square(errors).mean() == pytest.approx(10.5, abs=0.44)


def test_a_ciphertext_of_integers_is_the_paper_s(exact):
    """c0 + c1 s is the scaled message with an error of at most 21, and .5 that SEAL rounds off."""
    message, secret = numbers(3), secret_of(exact)
    for plain, sealed in zip(message, expanded(BFV, exact.encrypt(message)), strict=True):
        error = phase(sealed, secret, BFV.modulus) - bfv_scaled(plain, BFV.modulus, PLAIN)
        error = centred(error, BFV.modulus)
        assert max(abs(error)) <= 22
        assert np.square(error).mean() == pytest.approx(10.5, abs=4)  # 8 deviations of .46
        assert list(bfv_decrypt(sealed, secret, BFV.modulus, PLAIN)) == plain.tolist()


def test_chosen_coefficients_decrypt_to_themselves(exact):
    chosen = numbers(4)
    chosen[0], chosen[1], chosen[2, 1:] = 0, PLAIN - 1, 0
    chosen[3] = np.where(np.arange(BFV.degree) % 2, PLAIN // 2, PLAIN // 2 - 1)
    found = exact.decrypt_integers(expanded(BFV, exact.encrypt(chosen)))
    assert found.dtype == np.uint64
    assert np.array_equal(found, chosen)


def test_sums_of_integers_are_those_of_the_oracle(exact):
    sent = [numbers(2, seed) for seed in range(30)]
    words = expanded(BFV, *(exact.encrypt(each) for each in sent))
    expected = sum(each.astype(object) for each in sent) % PLAIN
    assert exact.decrypt_integers(words).tolist() == expected.tolist()
    assert list(bfv_decrypt(words[0], secret_of(exact), BFV.modulus, PLAIN)) == list(expected[0])


def test_a_product_with_a_power_of_x_turns_and_changes_the_sign():
    """The oracle itself: x^N is -1."""
    a, x3 = polynomial(range(1, 9)), polynomial([0, 0, 0, 1, 0, 0, 0, 0])
    assert list(negacyclic(a, x3)) == [-6, -7, -8, 1, 2, 3, 4, 5]
    assert list(negacyclic(x3, a)) == list(negacyclic(a, x3))


def test_slots_are_values_at_powers_of_a_root(approximate):
    """Encoded coefficients are those of the embedding, rounded; errors are at most 21."""
    rng = np.random.default_rng(1)
    chosen = rng.integers(-10_000, 10_001, CKKS.degree).astype(float)
    assert np.allclose(coefficients(slots(chosen)), chosen, atol=1e-6)
    found = approximate.decrypt_slots(expanded(CKKS, approximate.encrypt(slots(chosen)[None])))
    assert np.abs(coefficients(found[0]) - chosen).max() <= 21 + 1e-6


def test_encoding_rounds_to_the_nearest_coefficient(approximate):
    """Of .9 and -.9 all errors together would be the same as of 1 and -1: their mean tells."""
    chosen = np.where(np.arange(CKKS.degree) % 2, 0.9, -0.9)
    blocks = np.repeat(slots(chosen)[None], 20, axis=0)
    found = approximate.decrypt_slots(expanded(CKKS, approximate.encrypt(blocks)))
    off = np.mean([coefficients(row) for row in found], axis=0) * np.sign(chosen)
    assert off.mean() == pytest.approx(1.0, abs=0.14)  # 6 deviations of .023


def test_sums_of_slots_add_up_and_so_do_their_errors(approximate):
    rng = np.random.default_rng(2)
    chosen = rng.integers(-1000, 1001, (20, 1, CKKS.degree)).astype(float)
    sent = [approximate.encrypt(np.stack([slots(row) for row in each])) for each in chosen]
    found = coefficients(approximate.decrypt_slots(expanded(CKKS, *sent))[0])
    errors = found - chosen.sum(axis=(0, 1))
    assert np.abs(errors).max() <= 20 * 21
    # 1,024 squares: 7 deviations
    assert np.square(errors).mean() == pytest.approx(20 * 10.5, rel=0.32)


def test_a_flood_is_added_in_the_slots_before_anything_is_decoded(approximate):
    sent = expanded(CKKS, approximate.encrypt(np.zeros((2, CKKS.degree // 2), complex)))
    wave = np.stack([slots(np.full(CKKS.degree, value)) for value in (1000.0, -50.0)])
    found, bare = approximate.decrypt_slots(sent, wave), approximate.decrypt_slots(sent)
    for k, value in enumerate((1000.0, -50.0)):
        assert np.allclose(coefficients(found[k] - bare[k]), value, atol=1e-6)


def test_no_two_ciphertexts_share_a_seed_nor_a_word():
    """Nor do those of two processes that hold one key: only the key comes from its seed."""
    zeros = np.zeros((200, BFV.degree), np.uint64)
    sent = [Secret(BFV, SEED).encrypt(zeros) for _ in range(3)]
    seeds = b"".join(seeds for _, seeds in sent)
    each = {seeds[k : k + SEED_BYTES] for k in range(0, len(seeds), SEED_BYTES)}
    assert len(each) == 600
    assert len({row.tobytes() for words, _ in sent for row in words}) == 600


def test_the_polynomial_of_a_seed_looks_uniform():
    """Chi-square over 64 cells of 81,920 words; a false alarm once in a million runs."""
    zeros = np.zeros((40, BFV.degree), np.uint64)
    words = expanded(BFV, Secret(BFV, SEED).encrypt(zeros))
    assert words.shape == (40, 2, BFV.degree)
    for part in (0, 1):
        cells = (words[:, part].astype(object) * 64 // BFV.modulus).astype(int)
        counts = np.bincount(cells.ravel(), minlength=64)
        expected = cells.size / 64
        assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-6, 63)
