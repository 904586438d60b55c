"""Packed words against the digits of one large number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import packing as oracle
from privfl.crypto import pack, packed_size, unpack, word_type
from privfl.crypto._packing import _BLOCK

ALL = range(1, 65)


def some_words(bits, n, seed=0):
    drawn = np.random.default_rng(seed).integers(0, 2**bits, n, np.uint64, endpoint=False)
    return drawn.astype(word_type(bits))


@pytest.mark.parametrize("bits", ALL)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_words_are_the_digits_of_one_number_and_come_back(bits, data):
    words = data.draw(st.lists(st.integers(0, 2**bits - 1), max_size=140))
    packed = pack(np.array(words, word_type(bits)), bits)
    assert packed == oracle.packed(words, bits)
    assert unpack(packed, bits, len(words), word_type(bits)).tolist() == words


@pytest.mark.parametrize("bits", [1, 7, 16, 20, 26, 33, 64])
@pytest.mark.parametrize("n", [_BLOCK - 1, _BLOCK, _BLOCK + 1, 2 * _BLOCK + 65])
def test_blocks_join_without_a_seam(bits, n):
    words = some_words(bits, n)
    packed = pack(words, bits)
    assert packed == oracle.packed(words.tolist(), bits)
    assert (unpack(packed, bits, n, words.dtype) == words).all()


@pytest.mark.parametrize("bits", [1, 12, 16, 26, 32, 40, 64])
def test_all_ones_survive(bits):
    words = np.full(131, 2**bits - 1, word_type(bits))
    packed = pack(words, bits)
    assert int.from_bytes(packed, "little") == 2 ** (131 * bits) - 1
    assert (unpack(packed, bits, 131, words.dtype) == words).all()


def test_a_small_example_by_hand():
    """5 bits each: 1 | 2 << 5 | 31 << 10 = 0x7c41."""
    assert pack(np.array([1, 2, 31], np.uint16), 5) == bytes([0x41, 0x7C])


def test_wider_words_and_strides_pack_alike():
    words = some_words(12, 1000)
    assert pack(words.astype(np.uint64), 12) == pack(words, 12)
    assert pack(np.repeat(words, 2)[::2], 12) == pack(words, 12)
    assert unpack(pack(words, 12), 12, 1000, np.uint32).dtype == np.uint32


@pytest.mark.parametrize("bits", ALL)
def test_the_size_is_that_of_all_bits_rounded_up(bits):
    for n in (0, 1, 7, 8, 9, 1000):
        whole, rest = divmod(n * bits, 8)
        assert packed_size(n, bits) == whole + (rest > 0)


@pytest.mark.parametrize("bits", [1, 7, 12, 26, 63])
def test_bytes_have_one_form(bits):
    packed = pack(some_words(bits, 9), bits)
    for wrong in (packed[:-1], packed + b"\x00", b""):
        with pytest.raises(ValueError, match=rf"must be {len(packed)} bytes\. Found {len(wrong)}"):
            unpack(wrong, bits, 9, word_type(bits))


def test_each_spare_bit_must_be_zero():
    packed = pack(np.array([3], np.uint16), 3)
    for bit in range(3, 8):
        with pytest.raises(ValueError, match="after the last word"):
            unpack(bytes([packed[0] | 1 << bit]), 3, 1, np.uint16)


@pytest.mark.parametrize("at", [0, 5, _BLOCK, _BLOCK + 3])
def test_a_word_that_does_not_fit_is_refused_and_not_shown(at):
    words = np.zeros(_BLOCK + 4, np.uint32)
    words[at] = 54321
    with pytest.raises(ValueError, match=r"below 2\^15") as caught:
        pack(words, 15)
    assert "54321" not in str(caught.value)


@pytest.mark.parametrize("bits", [-1, 0, 65])
def test_other_numbers_of_bits_are_refused(bits):
    for call in (
        lambda: pack(np.zeros(3, np.uint64), bits),
        lambda: unpack(b"", bits, 0, np.uint64),
        lambda: word_type(bits),
    ):
        with pytest.raises(ValueError, match=f"bits must be from 1 to 64. Found {bits}"):
            call()


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float64])
def test_a_type_that_cannot_hold_a_word_is_refused(dtype):
    with pytest.raises(ValueError, match=rf"at least 17 bits\. Found {np.dtype(dtype)}"):
        unpack(bytes(17), 17, 8, dtype)


def test_the_type_is_the_least_that_holds_a_word():
    for bits in ALL:
        sizes = [8 * np.dtype(t).itemsize for t in ("u2", "u4", "u8")]
        assert word_type(bits) == np.dtype(f"<u{min(s for s in sizes if s >= bits) // 8}")
