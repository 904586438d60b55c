"""Masks against AES of a counter, block by block, and sums of whole numbers."""

import secrets
import tracemalloc

import numpy as np
import pytest

from oracles import masks as oracle
from oracles import packing
from privfl.crypto import _masks as module
from privfl.crypto import add_masks, masked, pack, packed_size, unpack, word_type
from vectors_for_tests import vectors

CHUNK = module._CHUNK
TYPES = [np.uint16, np.uint32, np.uint64]
KEYS = [(bytes(range(k, k + 32)), sign) for k, sign in ((0, 1), (50, -1), (90, 1), (7, -1))]


def some_words(dtype, n):
    return np.random.default_rng(n).integers(0, np.iinfo(dtype).max, n, dtype, endpoint=True)


def key_stream(key, n):
    """The masks of ``key`` on words that are zero."""
    words = np.zeros(n // 2, "<u2")
    add_masks(words, [(key, +1)])
    return words.tobytes()


def test_the_key_stream_is_that_of_nist_sp_800_38a():
    """F.5.1, CTR-AES128.Encrypt: its plaintext and ciphertext differ by the key stream."""
    key = "2b7e151628aed2a6abf7158809cf4f3c" + "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
    plain = (
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    cipher = (
        "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"
        "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee"
    )
    both = int(plain, 16) ^ int(cipher, 16)
    assert key_stream(bytes.fromhex(key), 64) == both.to_bytes(64)


def test_the_key_stream_is_that_of_rfc_3686():
    tried = list(vectors("ciphers/AES/CTR/aes-128-ctr.txt"))
    assert len(tried) == 3
    for vector in tried:
        plain, cipher = (bytes.fromhex(vector[name]) for name in ("PLAINTEXT", "CIPHERTEXT"))
        made = key_stream(bytes.fromhex(vector["KEY"] + vector["IV"]), len(plain))
        assert made == bytes(a ^ b for a, b in zip(plain, cipher, strict=True))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 1001])
def test_words_are_masked_modulo_their_range(dtype, n):
    words = some_words(dtype, n)
    wanted = oracle.masked(words, KEYS, 8 * words.itemsize)
    add_masks(words, KEYS)
    assert words.tolist() == wanted


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("more", [-1, 0, 1, CHUNK + 3])
def test_masks_go_on_from_chunk_to_chunk(dtype, more):
    words = some_words(dtype, CHUNK // np.dtype(dtype).itemsize + more)
    wanted = oracle.masked(words, KEYS[:2], 8 * words.itemsize)
    add_masks(words, KEYS[:2])
    assert words.tolist() == wanted


def test_the_counter_carries_over_all_its_bytes_and_wraps():
    for counter in (2**128 - 2, 2**64 - 1, 2**32 - 1, 255):
        key = bytes(range(16)) + counter.to_bytes(16, "big")
        words = np.zeros(40, np.uint32)
        add_masks(words, [(key, +1)])
        assert words.tolist() == oracle.mask(key, 40, 32)


@pytest.mark.parametrize("dtype", TYPES)
def test_a_mask_added_and_subtracted_leaves_the_words(dtype):
    words = some_words(dtype, 100_003)
    before, keys = words.copy(), [(secrets.token_bytes(32), 1) for _ in range(5)]
    add_masks(words, keys)
    assert (words != before).mean() > 0.999
    add_masks(words, [(key, -1) for key, _ in keys])
    assert (words == before).all()


def test_many_keys_are_taken_in_batches(monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 3)
    words = some_words(np.uint32, 100)
    keys = [(secrets.token_bytes(32), (-1) ** k) for k in range(10)]
    wanted = oracle.masked(words, keys, 32)
    add_masks(words, keys)
    assert words.tolist() == wanted


def test_no_keys_change_nothing():
    words = some_words(np.uint32, 100)
    before = words.copy()
    add_masks(words, [])
    assert (words == before).all()


@pytest.mark.parametrize("bits", [1, 12, 16, 17, 26, 32, 33, 40, 64])
@pytest.mark.parametrize("n", [0, 9, 1001, CHUNK // 2 + 5])
def test_what_is_sent_is_the_masked_words_packed(bits, n):
    words = some_words(word_type(bits), n) & word_type(bits).type(2**bits - 1)
    before, wide = words.copy(), 8 * words.itemsize
    sums = [word % 2**bits for word in oracle.masked(words, KEYS[:2], wide)]
    assert masked(words, KEYS[:2], bits) == packing.packed(sums, bits)
    assert (words == before).all()


@pytest.mark.parametrize("bits", [12, 26, 40])
def test_a_server_takes_masks_off_the_sum_in_whole_words(bits):
    """Masks cut to ``bits`` bits are taken off uncut: both are right modulo 2^bits."""
    dtype, n = word_type(bits), 5000
    rows = [some_words(dtype, n + k)[:n] & dtype.type(2**bits // 3 - 1) for k in range(3)]
    keys = [(secrets.token_bytes(32), sign) for sign in (1, -1, 1)]
    sent = [masked(row, [key], bits) for row, key in zip(rows, keys, strict=True)]
    total = np.zeros(n, dtype)
    for each in sent:
        total += unpack(each, bits, n, dtype)
    add_masks(total, [(key, -sign) for key, sign in keys])
    assert (total & dtype.type(2**bits - 1)).tolist() == sum(rows).tolist()


def test_masking_holds_one_chunk_and_no_second_copy():
    words, keys = np.zeros(4_000_000, np.uint32), KEYS[:1]
    pack(words[:10], 26)
    tracemalloc.start()
    try:
        sent = masked(words, keys, 26)
        assert tracemalloc.get_traced_memory()[1] < len(sent) + 1_000_000
        del sent
        tracemalloc.reset_peak()
        add_masks(words, keys)
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
    assert packed_size(4_000_000, 26) == 13_000_000


@pytest.mark.parametrize(
    "words",
    [np.zeros(3, np.int32), np.zeros(3, np.uint8), np.zeros(3, ">u4"), np.zeros((2, 2), np.uint32)],
)
def test_words_of_another_kind_are_refused(words):
    with pytest.raises(ValueError, match=r"vector of uint16, uint32 or uint64\. Found shape"):
        add_masks(words, KEYS)


def test_words_that_are_not_those_of_their_bits_are_refused():
    """Masks of 64-bit words are not those of 32-bit words: nothing would cancel."""
    with pytest.raises(ValueError, match=r"26 bits must be uint32\. Found uint64"):
        masked(np.zeros(3, np.uint64), KEYS, 26)


@pytest.mark.parametrize("call", [add_masks, lambda words, keys: masked(words, keys, 26)])
def test_wrong_keys_and_signs_are_refused_before_a_word_changes_and_not_shown(call):
    words = np.zeros(3, np.uint32)
    for bad, said in (
        ((b"K" * 16, 1), r"A mask key must be 32 bytes\. Found 16\.$"),
        ((b"K" * 33, 1), r"A mask key must be 32 bytes\. Found 33\.$"),
        ((b"K" * 32, 0), r"must be \+1 or -1\. Found 0\.$"),
        ((b"K" * 32, 2), r"must be \+1 or -1\. Found 2\.$"),
    ):
        with pytest.raises(ValueError, match=said) as caught:
            call(words, [*KEYS, bad])
        assert "KKK" not in str(caught.value)
    assert not words.any()
