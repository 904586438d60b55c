"""Randomness that noise is made of. Statistical tests state how often they fail by chance."""

import copy
import math
import os
import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from oracles.key_stream import book, counter_blocks, derived, normals, uniforms, words
from privfl.crypto import Stream

KEY = bytes(range(32))


def test_the_oracle_runs_the_published_cipher():
    """FIPS 197, C.3 and NIST SP 800-38A, F.1.5: AES-256 by the book that the oracle counts with."""
    for key, text, cipher in (
        (KEY.hex(), "00112233445566778899aabbccddeeff", "8ea2b7ca516745bfeafc49904b496089"),
        (
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            "6bc1bee22e409f96e93d7e117393172a",
            "f3eed1bdb5d2a03c064b5a7e3db181f8",
        ),
    ):
        assert book(bytes.fromhex(key)).update(bytes.fromhex(text)).hex() == cipher


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 1000])
def test_bytes_are_aes_256_in_counter_mode(n):
    assert Stream(KEY).bytes(n) == counter_blocks(derived(KEY, b"draw"), n)


def test_draws_go_on_where_the_last_one_ended_also_over_a_megabyte():
    whole = counter_blocks(derived(KEY, b"draw"), 48)
    stream = Stream(KEY)
    assert b"".join(stream.bytes(n) for n in (1, 16, 0, 31)) == whole
    at_once, pieces = Stream(KEY).bytes((1 << 20) + 5), Stream(KEY)
    assert at_once == pieces.bytes(1 << 19) + pieces.bytes(1 << 19) + pieces.bytes(5)


def test_uniforms_are_53_bits_above_zero():
    raw = counter_blocks(derived(KEY, b"draw"), 800)
    assert Stream(KEY).uniform((10, 10)).flatten().tolist() == uniforms(raw)


def test_the_least_and_the_largest_uniform_are_exact(monkeypatch):
    """2^-53 and 1: a 0 would be an infinite Gaussian, and a float32 in between would cut tails."""
    for byte, value in ((b"\x00", 2.0**-53), (b"\xff", 1.0)):
        monkeypatch.setattr(Stream, "bytes", lambda self, n, byte=byte: byte * n)
        assert Stream(KEY).uniform((3,)).tolist() == [value] * 3
    monkeypatch.setattr(Stream, "bytes", lambda self, n: b"\x00" * n)
    assert float(Stream(KEY).normal((1,))) == pytest.approx(math.sqrt(106 * math.log(2)))
    assert float(Stream(KEY).normal((1,))) > 8.5


def test_gaussians_are_those_of_box_and_muller():
    raw = counter_blocks(derived(KEY, b"draw"), 8 * 102)
    drawn = Stream(KEY).normal((101,))
    np.testing.assert_allclose(drawn, normals(raw, 101), rtol=1e-14, atol=1e-15)


def test_whole_numbers_scale_53_bits():
    raw = counter_blocks(derived(KEY, b"draw"), 800)
    expected = [word * 10 // 2**53 for word in words(raw)]
    assert Stream(KEY).integers(10, (100,)).tolist() == expected


@pytest.mark.parametrize("high", [1, 3, 5, 1000, 2**31 + 1, 2**32 - 1, 2**32])
def test_the_largest_whole_number_is_below_the_bound(monkeypatch, high):
    monkeypatch.setattr(Stream, "bytes", lambda self, n: b"\xff" * n)
    assert int(Stream(KEY).integers(high, ())) == high - 1


def test_gaussians_have_the_moments_and_the_tails_of_gaussians():
    """2 million draws, fresh key. Six checks at 1e-9 each: fails once in 10^8 runs."""
    n, rare = 2_000_000, 1e-9
    x = Stream().normal((n,)).numpy()
    z = stats.norm.isf(rare / 2)
    assert abs(x.mean()) < z / math.sqrt(n)
    assert abs((x**2).mean() - 1) < z * math.sqrt(2 / n)
    assert abs((x**3).mean()) < z * math.sqrt(15 / n)
    assert abs((x**4).mean() - 3) < z * math.sqrt(96 / n)
    beyond = int((np.abs(x) > 4).sum())
    low, high = stats.binom.interval(1 - rare, n, 2 * stats.norm.sf(4))
    assert low <= beyond <= high
    assert stats.kstest(x[:100_000], "norm").pvalue > rare


def test_halves_of_a_draw_do_not_depend_on_each_other():
    """Both halves share radius and angle. Correlation of the draws and of their squares, 1e-9."""
    x = Stream().normal((200_000,)).view(2, -1).numpy()
    z = stats.norm.isf(5e-10)
    for a, b in (x, x**2):
        assert abs(np.corrcoef(a, b)[0, 1]) < z / math.sqrt(x.shape[1])


def test_uniforms_and_whole_numbers_fill_their_range_evenly():
    """Chi-square over 64 cells, 1e-9 each."""
    u = Stream().uniform((100_000,)).numpy()
    k = Stream().integers(64, (100_000,)).numpy()
    for cells in (np.histogram(u, 64, (0, 1))[0], np.bincount(k, minlength=64)):
        assert stats.chisquare(cells).pvalue > 1e-9


def test_a_permutation_is_one_and_every_order_comes_up():
    """6 orders of 3 things in 6,000 draws; chi-square at 1e-9."""
    stream = Stream()
    orders = [tuple(stream.permutation(3).tolist()) for _ in range(6000)]
    counts = [orders.count(order) for order in sorted(set(orders))]
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-9


def test_children_share_no_key_stream_with_each_other_or_their_parent():
    parent = Stream(KEY)
    family = [parent, parent.child("a"), parent.child("b"), parent.child("a").child("a")]
    family += [parent.child(""), parent.child("draw")]
    drawn = [stream.bytes(4096) for stream in family]
    blocks = {piece[k : k + 16] for piece in drawn for k in range(0, 4096, 16)}
    assert len(blocks) == 256 * len(family)


def test_a_child_depends_on_key_and_label_and_not_on_what_was_drawn():
    fresh, used = Stream(KEY), Stream(KEY)
    used.bytes(100)
    assert fresh.child("a").bytes(32) == used.child("a").bytes(32)
    assert fresh.child("a").bytes(32) == counter_blocks(
        derived(derived(KEY, b"childa"), b"draw"), 32
    )


def test_fresh_streams_differ_and_replayed_ones_do_not():
    assert Stream().bytes(16) != Stream().bytes(16)
    assert not Stream().seeded
    for seed in (7, b"seven"):
        a, b = Stream.replay(seed), Stream.replay(seed)
        assert a.bytes(16) == b.bytes(16)
        assert a.seeded
        assert a.child("x").seeded
    assert Stream.replay(7).bytes(16) != Stream.replay(8).bytes(16)


def test_a_torch_generator_is_asked_for_one_number():
    def made():
        return torch.Generator().manual_seed(3)

    assert Stream.replay(made()).bytes(16) == Stream.of(made()).bytes(16)
    generator = made()
    assert Stream.of(generator).bytes(16) != Stream.of(generator).bytes(16)


def test_what_a_generator_argument_takes():
    stream = Stream()
    assert Stream.of(stream) is stream
    assert not Stream.of(None).seeded
    assert Stream.of(5).bytes(8) == Stream.replay(5).bytes(8)
    with pytest.raises(ValueError, match="Found str"):
        Stream.of("5")  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["uniform", "normal"])
def test_draws_keep_the_kind_of_what_they_are_for(method):
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        like = torch.zeros(1, dtype=dtype, device="meta")
        drawn = getattr(Stream(KEY), method)((2, 3), like)
        assert (drawn.dtype, drawn.device.type, drawn.shape) == (dtype, "meta", (2, 3))
    assert getattr(Stream(KEY), method)((0, 3)).shape == (0, 3)
    assert getattr(Stream(KEY), method)(()).shape == ()


@pytest.mark.parametrize("high", [0, -1, 2**32 + 1])
def test_a_range_that_is_none_is_refused(high):
    with pytest.raises(ValueError, match=f"from 1 to 2\\^32. Found {high}"):
        Stream(KEY).integers(high, (1,))


def test_a_short_key_is_refused_without_being_told():
    with pytest.raises(ValueError, match=r"32 bytes. Found 5.") as error:
        Stream(b"short")
    assert "short" not in str(error.value)


def test_a_stream_is_not_copied_and_its_key_stays_out_of_sight():
    stream = Stream(KEY)
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            copied(stream)
    assert repr(stream) == "Stream(seeded=False)"


def test_a_torch_generator_for_simulation_follows_the_key():
    a, b = Stream(KEY).torch_generator(), Stream(KEY).torch_generator()
    assert torch.equal(torch.randn(3, generator=a), torch.randn(3, generator=b))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # newer Pythons warn of forks and threads
def test_after_a_fork_no_two_processes_draw_alike():
    """A copied key would repeat its noise; a seeded stream repeats it on purpose."""
    streams = [Stream(), Stream().child("a"), Stream.replay(1)]
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:  # the child says what it draws, and ends without cleaning anything up
        os.write(writer, b"".join(stream.bytes(8) for stream in streams))
        os._exit(0)
    os.waitpid(pid, 0)
    theirs = os.read(reader, 24)
    mine = [stream.bytes(8) for stream in streams]
    assert [theirs[8 * k : 8 * k + 8] == mine[k] for k in range(3)] == [False, False, True]
