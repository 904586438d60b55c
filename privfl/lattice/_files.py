"""SEAL's objects as bytes: its Python binding knows files only, so these live in memory."""

import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import zstandard

# what SEAL puts in front of everything: magic, own length, version, compression, length in all
_HEADER = struct.Struct("<HBBBBHQ")
_MAGIC, _PLAIN, _ZSTD = 0xA15E, 0, 2


def body_of(saved: Any) -> bytes:
    """Return what an object of SEAL holds, without header and compression.

    It is the library's own output and never anything that travelled.
    """
    with _file() as path:
        saved.save(path)
        with open(path, "rb") as file:
            data = file.read()
    magic, _, *_, compression, _, _ = _HEADER.unpack_from(data)
    if magic != _MAGIC or compression not in (_PLAIN, _ZSTD):
        raise RuntimeError("SEAL wrote a file in a form that is not known here")
    rest = data[_HEADER.size :]
    return rest if compression == _PLAIN else _decompressed(rest)


def filled(empty: Any, context: Any, body: bytes) -> Any:
    """Load ``body``, which this process has written, into an object of SEAL."""
    with _file() as path:
        with open(path, "wb") as file:
            file.write(under_header(body))
        empty.load(context, path)
    return empty


def under_header(body: bytes) -> bytes:
    """Put SEAL's header in front of a body that is not compressed."""
    major, minor = seal_version()
    size = _HEADER.size + len(body)
    return _HEADER.pack(_MAGIC, _HEADER.size, major, minor, _PLAIN, 0, size) + body


HEADER_BYTES = _HEADER.size


@cache
def seal_version() -> tuple[int, int]:
    """Return the version of SEAL that the installed ``tenseal`` holds, as its files state it.

    >>> seal_version() >= (4, 1)
    True
    """
    from tenseal import sealapi

    with _file() as path:
        sealapi.Plaintext("1").save(path)
        with open(path, "rb") as file:
            _, _, major, minor, *_ = _HEADER.unpack(file.read(_HEADER.size))
    return major, minor


def _decompressed(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


@contextmanager
def _file() -> Iterator[str]:
    """Make a file of our own: in memory on Linux, where nothing in it ever meets a disk."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("privfl")
        try:
            yield f"/proc/self/fd/{handle}"
        finally:
            os.close(handle)
    else:
        with tempfile.TemporaryDirectory(prefix="privfl-") as folder:
            yield os.path.join(folder, "seal")
