"""What is none of the ring's never reaches SEAL, and a key stays out of sight."""

import os
import pickle

import numpy as np
import pytest

from privfl.lattice import Ring, RunningSum, Secret
from privfl.lattice._files import body_of, seal_version

RING = Ring("BFV", 1024, 27, plaintext_bits=8)
SEED = bytes(range(64))


@pytest.mark.parametrize(("degree", "bits"), [(1024, 28), (2048, 55), (1000, 27)])
def test_a_ring_weaker_than_128_bits_or_none_at_all_is_refused(degree, bits):
    with pytest.raises(ValueError):  # noqa: PT011  some texts are SEAL's
        _ = Ring("CKKS", degree, bits).context


@pytest.mark.parametrize("bits", [20, 27, 54, 60])
def test_the_prime_has_as_many_bits_as_it_says_and_fits_the_degree(bits):
    degree = {20: 1024, 27: 1024, 54: 2048, 60: 4096}[bits]
    prime = Ring("CKKS", degree, bits).modulus
    assert prime.bit_length() == bits
    assert prime % (2 * degree) == 1


def fresh(blocks=2):
    return Secret(RING, SEED).encrypt(np.ones((blocks, RING.degree), np.uint64))


def test_words_outside_the_modulus_are_refused_and_nothing_is_added():
    words, seeds = fresh()
    total = RunningSum(RING)
    total.add(words, seeds)
    before = total.words()
    for value in (RING.modulus, 2**64 - 1):
        for place in ((0, 0), (1, 1023)):
            wrong = words.copy()
            wrong[place] = value
            with pytest.raises(ValueError, match="below the modulus"):
                total.add(wrong, seeds)
    assert np.array_equal(total.words(), before)
    largest = words.copy()
    largest[0, 0] = RING.modulus - 1
    total.add(largest, seeds)
    assert not np.array_equal(total.words(), before)


@pytest.mark.parametrize(
    ("words", "seeds"),
    [
        (np.zeros((1, 512), np.uint64), bytes(64)),
        (np.zeros((1, 2048), np.uint64), bytes(64)),
        (np.zeros((1, 1024), np.uint64), bytes(63)),
        (np.zeros((2, 1024), np.uint64), bytes(64)),
        (np.zeros((1, 1024), np.uint64), b""),
    ],
)
def test_another_shape_or_seed_is_refused(words, seeds):
    with pytest.raises(ValueError, match="one polynomial and one seed"):
        RunningSum(RING).add(words, seeds)


def test_a_sum_of_another_shape_is_refused():
    key = Secret(RING, SEED)
    for shape in ((1, 1, 1024), (1, 2, 512), (1, 3, 1024)):
        with pytest.raises(ValueError, match="two polynomials"):
            key.decrypt_integers(np.zeros(shape, np.uint64))
    with pytest.raises(ValueError, match="below the modulus"):
        key.decrypt_integers(np.full((1, 2, 1024), RING.modulus, np.uint64))


def test_another_number_of_blocks_is_refused_and_nothing_is_added():
    total = RunningSum(RING)
    total.add(*fresh(2))
    before = total.words()
    for blocks in (1, 3):
        with pytest.raises(ValueError, match="blocks"):
            total.add(*fresh(blocks))
    assert np.array_equal(total.words(), before)


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_a_seed_of_another_length_is_refused(size):
    with pytest.raises(ValueError, match=f"seed must be 64 bytes. Found {size}"):
        Secret(RING, bytes(size))


def test_a_secret_is_neither_shown_nor_pickled():
    key = Secret(RING, SEED)
    assert repr(key) == f"Secret({RING})"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)
    shown = f"{vars(key)}"
    assert SEED.hex() not in shown
    assert str(SEED) not in shown
    assert body_of(key._key)[48:80].hex() not in shown


def test_a_context_holds_no_secret_and_rings_of_one_name_are_equal():
    assert Ring("BFV", 1024, 27, 8) == RING
    assert Ring("BFV", 1024, 27, 8).parameters_id == RING.parameters_id
    assert Ring("BFV", 1024, 26, 8).parameters_id != RING.parameters_id
    assert len(RING.parameters_id) == 32


def test_the_bundled_seal_is_the_one_that_was_read():
    """Its files are written by hand here: another version may read them in another way."""
    assert (4, 1) <= seal_version() < (5, 0)


def test_nothing_is_left_open_or_on_a_disk():
    key = Secret(RING, SEED)
    blocks = np.zeros((3, RING.degree), np.uint64)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        key.decrypt_integers(_expanded(key.encrypt(blocks)))
    assert len(os.listdir("/proc/self/fd")) == before


def _expanded(sent):
    total = RunningSum(RING)
    total.add(*sent)
    return total.words()
