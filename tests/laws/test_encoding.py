"""What is written is what is read, and nothing else is read at all."""

import math
import pickle
import struct

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from privfl.core import ProtocolAbort, decode, encode

DTYPES = [
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
]


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """A tensor of any kind, NaN payloads and infinities included: its bits are drawn."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    size = math.prod(shape)
    if dtype is torch.bool:
        bits = draw(st.lists(st.booleans(), min_size=size, max_size=size))
        return torch.tensor(bits, dtype=dtype).reshape(shape)
    raw = draw(st.binary(min_size=size * dtype.itemsize, max_size=size * dtype.itemsize))
    if not size:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(raw), dtype=dtype).reshape(shape)


PARTIES = st.integers() | st.text(max_size=5)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | tensors()
)
STATES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4).map(tuple) | st.dictionaries(PARTIES, inner, max_size=4)
    ),
    max_leaves=12,
)


def same(a: object, b: object) -> bool:
    """Equal in kind, value and bits; 1, 1.0 and True are three values here."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and bits(a) == bits(b)
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return a == b


def bits(x: Tensor) -> bytes:
    return x.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@given(STATES)
@example((float("inf"), float("-inf"), float("nan"), -0.0, 5e-324))
@example({-1: torch.tensor(2.0), "": torch.empty(0, 3), 10**30: ()})
@example(torch.tensor([[1.0, 2.0], [3.0, 4.0]]).T)
def test_what_is_written_is_what_is_read(value):
    assert same(decode(encode(value)), value)


@given(STATES)
def test_nothing_is_pickled(value):
    """Every pickle of protocol 2 and later starts with a byte that JSON and the header lack."""
    data = encode(value)
    assert data.startswith(b"PFL")
    with pytest.raises((pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError)):
        pickle.loads(data)


@given(STATES, st.data())
def test_a_cut_message_is_refused(value, data):
    whole = encode(value)
    with pytest.raises(ProtocolAbort):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(STATES, st.binary(min_size=1, max_size=9))
def test_a_longer_message_is_refused(value, tail):
    with pytest.raises(ProtocolAbort):
        decode(encode(value) + tail)


@given(STATES, st.data())
@settings(max_examples=300)
def test_a_changed_message_is_refused_or_is_itself_one_that_is_written(value, data):
    """Whatever is flipped: an abort, or another value in its only form; no third thing."""
    changed = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] ^= data.draw(st.integers(1, 255))
    read_or_abort(bytes(changed))


HEADS = st.recursive(
    st.sampled_from(["[", "]", "{", "}", ",", ":", " ", "1", "-0", "1e5", "true", "null", "NaN"])
    | st.sampled_from(['"t"', '"s"', '"b"', '"f"', '"m"', '"float32"', '"0x1.0p+0"', '"\\ud800"']),
    lambda inner: st.lists(inner, max_size=6).map("".join),
)


@given(HEADS, st.binary(max_size=16))
@settings(max_examples=300)
def test_any_head_is_refused_or_is_itself_one_that_is_written(head, tail):
    read_or_abort(struct.pack("<3sBI", b"PFL", 1, len(head)) + head.encode() + tail)


def read_or_abort(message: bytes) -> None:
    try:
        value = decode(message)
    except ProtocolAbort:
        return
    assert encode(value) == message
