"""Messages that no honest side writes, one kind each."""

import json
import struct
from enum import StrEnum

import numpy as np
import pytest
import torch

from privfl.core import ProtocolAbort, decode, encode


def message(head: object, tail: bytes = b"", version: int = 1, magic: bytes = b"PFL") -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head, separators=(",", ":")).encode()
    return struct.pack("<3sBI", magic, version, len(text)) + text + tail


def nested(depth: int) -> object:
    return [nested(depth - 1)] if depth else None


MALFORMED = {
    "nothing": b"",
    "a header and no more": message([])[:8],
    "another magic": message([], magic=b"PFX"),
    "an older version": message([], version=0),
    "a newer version": message([], version=2),
    "a pickle": b"\x80\x04N.",
    "a head that is no JSON": message(b"{"),
    "a head that is no text": message(b"\xff\xfe\x00"),
    "a head in another encoding": message("null".encode("utf-16")),
    "spaces in the head": message(b"[ ]"),
    "a number with a point": message(1.5),
    "a bare NaN": message(b"NaN"),
    "minus zero as a whole number": message(b"-0"),
    "a number longer than Python reads": message(b"1" * 5000),
    "an unknown tag": message({"x": 1}),
    "no tag": message({}),
    "two tags": message({"b": 0, "f": "0x0.0p+0"}),
    "a tag twice": message(b'{"f":"0x0.0p+0","f":"0x0.0p+0"}'),
    "tags in another order": message({"s": [], "t": "uint8"}, b"\x01"),
    "a float in another form": message({"f": "1.0"}),
    "a float that is none": message({"f": "one"}),
    "a float above all": message({"f": "0x1.0p+5000"}),
    "bytes that are missing": message({"b": 4}, b"abc"),
    "bytes of negative length": message({"b": -1}),
    "bytes of length true": message({"b": True}, b"x"),
    "bytes left over": message({"b": 1}, b"xy"),
    "an unknown dtype": message({"t": "complex64", "s": []}, bytes(8)),
    "a dtype that is code": message({"t": "__class__", "s": []}, bytes(8)),
    "a shape that is no list": message({"t": "uint8", "s": 1}, b"\x01"),
    "a negative size": message({"t": "uint8", "s": [-1]}),
    "a size that is no number": message({"t": "uint8", "s": ["1"]}, b"\x01"),
    "a size of true": message({"t": "uint8", "s": [True]}, b"\x01"),
    "a size above all": message({"t": "uint8", "s": [0, 2**32 - 1, 2**32 - 1]}),
    "a tensor of terabytes": message({"t": "float64", "s": [2**31, 2**31]}),
    "a truth value of two": message({"t": "bool", "s": [1]}, b"\x02"),
    "a mapping that is no list": message({"m": {"a": 1}}),
    "a pair of three": message({"m": [["a", 1, 2]]}),
    "a pair that is none": message({"m": ["ab"]}),
    "a key twice": message({"m": [["a", 1], ["a", 2]]}),
    "a key of null": message({"m": [[None, 1]]}),
    "a key of true": message({"m": [[True, 1]]}),
    "too deep": message(nested(34)),
    "deeper than JSON reads": message(b"[" * 100_000 + b"]" * 100_000),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_message_aborts(data):
    with pytest.raises(ProtocolAbort):
        decode(data)


def test_a_message_above_the_cap_aborts_before_it_is_read():
    data = encode(bytes(100))
    assert decode(data, largest=len(data)) == bytes(100)
    with pytest.raises(ProtocolAbort, match="allowed are 8 to 99"):
        decode(data, largest=99)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1], "Found list"),
        ({1.5: 1}, "keys are numbers or strings. Found 1.5"),
        ({True: 1}, "keys are numbers or strings. Found True"),
        (np.float32(1), "Found float32"),
        (object(), "Found object"),
        (torch.tensor(1j), "Found torch.complex64"),
    ],
)
def test_what_no_reader_knows_is_not_written(value, text):
    with pytest.raises(ValueError, match=text):
        encode(value)


def test_what_is_too_deep_to_read_is_not_written():
    deep = None
    for _ in range(32):
        deep = (deep,)
    assert decode(encode(deep)) == deep
    with pytest.raises(ValueError, match="32 deep"):
        encode((deep,))


def test_words_of_an_enumeration_come_back_as_words():
    class Word(StrEnum):
        A = "a"

    assert decode(encode({"word": Word.A})) == {"word": "a"}


def test_a_tensor_is_written_without_its_graph_and_its_strides():
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    read = decode(encode((2 * x).T))
    assert not read.requires_grad
    assert read.is_contiguous()
    assert torch.equal(read, torch.tensor([[0.0, 6.0], [2.0, 8.0], [4.0, 10.0]]))


def test_reading_leaves_the_message_alone():
    data = encode(torch.zeros(3))
    decode(data).add_(1)  # of bytes, which cannot be written, a copy is read
    assert torch.equal(decode(data), torch.zeros(3))


def test_a_writable_message_is_not_copied_where_its_numbers_lie_well():
    shared = []
    for shift in range(4):
        data = bytearray(encode((b"x" * shift, torch.zeros(2))))
        _, read = decode(data)
        data[-4:] = struct.pack("<f", 7.0)
        shared.append(float(read[-1]) == 7.0)
    assert shared.count(True) == 1


def test_a_head_says_little():
    """Nine bytes and a few words: what a small reply costs beside its numbers."""
    assert len(encode(torch.zeros(1000))) - 4000 < 64
