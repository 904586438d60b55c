"""Values as bytes: the one form in which letters travel and states are kept. Nothing is pickled."""

import json
import math
import struct
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from privfl.core._errors import ProtocolAbort

Party = int | str
State = None | bool | int | float | str | bytes | Tensor | tuple["State", ...] | Mapping[Party, "State"]

VERSION = 1
LARGEST = 1 << 32  # bytes: above any model that is sent in one piece
_DEEPEST = 32
_HEADER = struct.Struct("<3sBI")  # "PFL", version, length of the JSON skeleton
_DTYPES = {
    name: getattr(torch, name)
    for name in ("float16", "bfloat16", "float32", "float64", "bool", "uint8", "int8", "int16")
    + ("int32", "int64")
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def encode(value: State) -> bytes:
    """Write a value as bytes: a JSON skeleton, then the raw arrays, little-endian.

    Guarantees:
        - ``decode(encode(value))`` equals ``value``, dtypes and shapes included.
        - Equal values give equal bytes (mappings keep their order).

    >>> decode(encode({"round": 3, 7: (None, b"x", 0.5)}))
    {'round': 3, 7: (None, b'x', 0.5)}
    """
    arrays: list[bytes] = []
    skeleton = json.dumps(_skeleton(value, arrays, 0), separators=(",", ":")).encode()
    return b"".join([_HEADER.pack(b"PFL", VERSION, len(skeleton)), skeleton, *arrays])


def decode(data: bytes, largest: int = LARGEST) -> State:
    """Read what `encode` wrote. Tensors are read-only views of ``data`` where they can be.

    Raises:
        ProtocolAbort: for anything `encode` would not have written: another version, more than
            ``largest`` bytes, a length that does not fit, an unknown kind.
    """
    if not _HEADER.size <= len(data) <= largest:
        raise ProtocolAbort(f"A message of {len(data)} bytes, allowed are up to {largest}")
    magic, version, length = _HEADER.unpack_from(data)
    if magic != b"PFL" or version != VERSION:
        raise ProtocolAbort(f"A message of version {version}, this is version {VERSION}")
    if _HEADER.size + length > len(data):
        raise ProtocolAbort("A message shorter than its head says")
    try:
        skeleton = json.loads(bytes(data[_HEADER.size : _HEADER.size + length]))
        reader = _Reader(memoryview(data), _HEADER.size + length)
        value = reader.read(skeleton, 0)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise ProtocolAbort("A message whose head cannot be read") from error
    if reader.at != len(data):
        raise ProtocolAbort("A message longer than its head says")
    return value


def _skeleton(value: State, arrays: list[bytes], depth: int) -> object:
    if depth > _DEEPEST:
        raise ValueError(f"A state is nested at most {_DEEPEST} deep.")
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return {"f": value.hex()}
    if isinstance(value, bytes):
        arrays.append(value)
        return {"b": len(value)}
    if isinstance(value, Tensor):
        return _array(value, arrays)
    if isinstance(value, tuple):
        return [_skeleton(item, arrays, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {"m": [[k, _skeleton(v, arrays, depth + 1)] for k, v in _items(value)]}
    raise ValueError(f"A state is made of plain values and tensors. Found {type(value).__name__}.")


def _items(value: Mapping[Party, State]) -> list[tuple[Party, State]]:
    for key in value:
        if not isinstance(key, int | str) or isinstance(key, bool):
            raise ValueError(f"A state's keys are numbers or strings. Found {key!r}.")
    return list(value.items())


def _array(x: Tensor, arrays: list[bytes]) -> object:
    if x.dtype not in _NAMES:
        raise ValueError(f"A state holds tensors of {', '.join(_DTYPES)}. Found {x.dtype}.")
    flat = x.detach().cpu().contiguous().reshape(-1)
    arrays.append(flat.view(torch.uint8).numpy().tobytes())
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
            return tuple(self.read(item, depth + 1) for item in node)
        if not isinstance(node, dict):
            raise ValueError("an unknown kind")
        return self._read_tagged(node, depth)

    def _read_tagged(self, node: dict[str, object], depth: int) -> State:
        kinds = set(node)
        if kinds == {"f"} and isinstance(node["f"], str):
            return float.fromhex(node["f"])
        if kinds == {"b"} and isinstance(node["b"], int):
            return bytes(self._take(node["b"]))
        if kinds == {"t", "s"} and isinstance(node["t"], str) and isinstance(node["s"], list):
            return self._tensor(node["t"], node["s"])
        if kinds == {"m"} and isinstance(node["m"], list):
            return self._mapping(node["m"], depth)
        raise ValueError("an unknown kind")

    def _mapping(self, pairs: list[object], depth: int) -> Mapping[Party, State]:
        out: dict[Party, State] = {}
        for pair in pairs:
            key, item = pair if isinstance(pair, list) else (None, None)
            if not isinstance(key, int | str) or isinstance(key, bool) or key in out:
                raise ValueError("a key that is no name, or comes twice")
            out[key] = self.read(item, depth + 1)
        return out

    def _tensor(self, name: str, shape: list[object]) -> Tensor:
        sizes = [size for size in shape if isinstance(size, int) and 0 <= size < LARGEST]
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
