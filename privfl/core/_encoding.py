"""Values as bytes: the one form in which letters travel and states are kept. Nothing is pickled."""

import hashlib
import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from privfl.core._errors import ProtocolAbort

Party = int | str
# Keys are parties; as a Mapping is invariant in them, naming that here would refuse dict[str, …].
State = (
    None | bool | int | float | str | bytes | Tensor | tuple["State", ...] | Mapping[Any, "State"]
)

VERSION = 1
_PLAIN = frozenset({int, str})
LARGEST = 1 << 32  # bytes: above any model that is sent in one piece
_DEEPEST = 32
_HEADER = struct.Struct("<3sBI")  # "PFL", version, length of the JSON skeleton
_NAMES = {
    getattr(torch, name): name
    for name in [
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "bool",
        "uint8",
        "int8",
        "int16",
        "int32",
        "int64",
    ]
}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}


@dataclass(frozen=True)
class Blank:
    """Stand for ``length`` bytes where only a size is asked for."""

    length: int


Array = bytes | Tensor | Blank


def encode(value: State) -> bytes:
    """Write a value as bytes: a JSON skeleton, then the raw arrays, little-endian.

    Guarantees:
        - ``decode(encode(value))`` equals ``value``, dtypes and shapes included.
        - Equal values give equal bytes (mappings keep their order).

    >>> decode(encode({"round": 3, 7: (None, b"x", 0.5)}))
    {'round': 3, 7: (None, b'x', 0.5)}
    """
    return b"".join(_pieces(value))


def hash_of(value: State) -> bytes:
    """Return the SHA-256 of what `encode` would write, piece by piece: 32 bytes.

    >>> hash_of((1, b"x")) == hashlib.sha256(encode((1, b"x"))).digest()
    True
    """
    made = hashlib.sha256()
    for piece in _pieces(value):
        made.update(piece)
    return made.digest()


def _pieces(value: State) -> Iterator[bytes | memoryview]:
    arrays: list[Array] = []
    skeleton = _json(_skeleton(value, arrays, 0))
    yield _HEADER.pack(b"PFL", VERSION, len(skeleton))
    yield skeleton
    yield from map(_raw, arrays)


def size_of(value: object) -> int:
    """Return how many bytes `encode` would write; `Blank` and meta tensors stand for arrays.

    >>> size_of(("words", Blank(3))) == len(encode(("words", b"abc")))
    True
    """
    arrays: list[Array] = []
    skeleton = _json(_skeleton(value, arrays, 0))  # type: ignore[arg-type]
    return _HEADER.size + len(skeleton) + sum(map(_length, arrays))


def decode(data: bytes, largest: int = LARGEST) -> State:
    """Read what `encode` wrote; tensors share the memory of ``data`` where that is writable.

    Guarantees:
        - ``encode(decode(data)) == data``: a value has one form, so nothing hides in another.

    Raises:
        ProtocolAbort: for anything `encode` would not have written: another version, more than
            ``largest`` bytes, a length that does not fit, an unknown kind.
    """
    if not _HEADER.size <= len(data) <= largest:
        allowed = f"{_HEADER.size} to {largest}"
        raise ProtocolAbort(f"A message of {len(data)} bytes, allowed are {allowed}")
    magic, version, length = _HEADER.unpack_from(data)
    if magic != b"PFL":
        raise ProtocolAbort("A message that is none of privfl's")
    if version != VERSION:
        raise ProtocolAbort(f"A message of version {version}, this is version {VERSION}")
    if _HEADER.size + length > len(data):
        raise ProtocolAbort("A message shorter than its head says")
    head = bytes(data[_HEADER.size : _HEADER.size + length])
    try:
        skeleton = json.loads(head)
        reader = _Reader(memoryview(data), _HEADER.size + length)
        value = reader.read(skeleton, 0)
    except (ValueError, TypeError, KeyError, RuntimeError, OverflowError) as error:
        # RuntimeError: too deep for json, or a shape whose strides torch cannot count
        raise ProtocolAbort("A message whose head cannot be read") from error
    if reader.at != len(data):
        raise ProtocolAbort("A message longer than its head says")
    if _json(skeleton) != head:
        raise ProtocolAbort("A message whose head is written in another way")
    return value


def _json(skeleton: object) -> bytes:
    return json.dumps(skeleton, separators=(",", ":")).encode()


def _raw(array: Array) -> bytes | memoryview:
    if isinstance(array, Blank):
        raise ValueError("A Blank has a size and no bytes.")
    if isinstance(array, bytes):
        return array
    flat = array.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def _length(array: Array) -> int:
    if isinstance(array, Tensor):
        return int(array.numel()) * array.itemsize
    return array.length if isinstance(array, Blank) else len(array)


def _skeleton(value: State, arrays: list[Array], depth: int) -> object:
    if depth > _DEEPEST:
        raise ValueError(f"A state is nested at most {_DEEPEST} deep.")
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return {"f": value.hex()}
    if isinstance(value, bytes):
        arrays.append(value)
        return {"b": len(value)}
    if isinstance(value, Blank):
        arrays.append(value)
        return {"b": value.length}
    if isinstance(value, Tensor):
        return _array(value, arrays)
    if isinstance(value, tuple):
        if _PLAIN.issuperset(map(type, value)):
            return list(value)  # names of a cohort, mostly: thousands, and all alike
        return [_skeleton(item, arrays, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {"m": [[k, _skeleton(v, arrays, depth + 1)] for k, v in _items(value)]}
    raise ValueError(f"A state is made of plain values and tensors. Found {type(value).__name__}.")


def _items(value: Mapping[Party, State]) -> list[tuple[Party, State]]:
    for key in value:
        if not isinstance(key, int | str) or isinstance(key, bool):
            raise ValueError(f"A state's keys are numbers or strings. Found {key!r}.")
    return list(value.items())


def _array(x: Tensor, arrays: list[Array]) -> object:
    if x.dtype not in _NAMES:
        raise ValueError(f"A state holds tensors of {', '.join(_DTYPES)}. Found {x.dtype}.")
    arrays.append(x)
    return {"t": _NAMES[x.dtype], "s": list(x.shape)}


class _Reader:
    """Walk the skeleton and take the arrays in the order in which they were written."""

    def __init__(self, data: memoryview, at: int) -> None:
        self.data, self.at = data, at

    def read(self, node: object, depth: int) -> State:
        if depth > _DEEPEST:
            raise ValueError("nested too deep")
        if node is None or isinstance(node, bool | int | str):
            return node
        if isinstance(node, list):
            if _PLAIN.issuperset(map(type, node)):
                return tuple(node)
            return tuple(self.read(item, depth + 1) for item in node)
        if not isinstance(node, dict):
            raise ValueError("an unknown kind")
        return self._read_tagged(node, depth)

    def _read_tagged(self, node: dict[str, object], depth: int) -> State:
        match node:
            case {"f": str(text)} if list(node) == ["f"]:
                return self._float(text)
            case {"b": int(size)} if list(node) == ["b"] and not isinstance(size, bool):
                return bytes(self._take(size))
            case {"t": str(name), "s": list(shape)} if list(node) == ["t", "s"]:
                return self._tensor(name, shape)
            case {"m": list(pairs)} if list(node) == ["m"]:
                return self._mapping(pairs, depth)
        raise ValueError("an unknown kind")

    def _float(self, text: str) -> float:
        value = float.fromhex(text)
        if value.hex() != text:
            raise ValueError("a number written in another way")
        return value

    def _mapping(self, pairs: list[object], depth: int) -> Mapping[Party, State]:
        out: dict[Party, State] = {}
        for pair in pairs:
            key, item = pair if isinstance(pair, list) else (None, None)  # other lengths raise
            if not isinstance(key, int | str) or isinstance(key, bool) or key in out:
                raise ValueError("a key that is no name, or comes twice")
            out[key] = self.read(item, depth + 1)
        return out

    def _tensor(self, name: str, shape: list[object]) -> Tensor:
        sizes = [n for n in shape if type(n) is int and 0 <= n < LARGEST]  # no bool
        if len(sizes) != len(shape):
            raise ValueError("a shape that is none")
        dtype = _DTYPES[name]
        raw = self._take(math.prod(sizes) * dtype.itemsize)
        if name == "bool" and len(raw) and np.frombuffer(raw, np.uint8).max() > 1:
            raise ValueError("a truth value that is neither 0 nor 1")
        if not len(raw):
            return torch.empty(sizes, dtype=dtype)
        return _view(raw, dtype).reshape(sizes)

    def _take(self, n: int) -> memoryview:
        if not 0 <= n <= len(self.data) - self.at:
            raise ValueError("an array longer than the message")
        self.at += n
        return self.data[self.at - n : self.at]


def _view(raw: memoryview, dtype: torch.dtype) -> Tensor:
    aligned = np.frombuffer(raw, np.uint8)
    if aligned.ctypes.data % dtype.itemsize or not aligned.flags.writeable:
        aligned = aligned.copy()  # torch views neither odd addresses nor read-only memory
    return torch.from_numpy(aligned).view(dtype)
