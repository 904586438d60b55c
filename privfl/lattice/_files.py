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
    with _file() as file:
        saved.save(file.path)
        data = file.read()
    magic, _, *_, compression, _, _ = _HEADER.unpack_from(data)
    if magic != _MAGIC or compression not in (_PLAIN, _ZSTD):
        raise RuntimeError("SEAL wrote a file in a form that is not known here")
    rest = data[_HEADER.size :]
    return rest if compression == _PLAIN else _decompressed(rest)


def filled(empty: Any, context: Any, body: bytes) -> Any:
    """Load ``body``, which this process has written, into an object of SEAL."""
    with _file() as file:
        file.write(under_header(body))
        empty.load(context, file.path)
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

    with _file() as file:
        sealapi.Plaintext("1").save(file.path)
        _, _, major, minor, *_ = _HEADER.unpack_from(file.read())
    return major, minor


def _decompressed(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


class _File:
    """A file of this process, by the path that SEAL is told."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self) -> bytes:
        with open(self.path, "rb") as file:
            return file.read()

    def write(self, data: bytes) -> None:
        with open(self.path, "wb") as file:
            file.write(data)


class _InMemory(_File):
    """A file that has no place on a disk."""

    def __init__(self, handle: int) -> None:
        super().__init__(f"/proc/self/fd/{handle}")
        self.handle = handle

    def read(self) -> bytes:
        return os.pread(self.handle, os.fstat(self.handle).st_size, 0)

    def write(self, data: bytes) -> None:
        os.pwrite(self.handle, data, 0)


@contextmanager
def _file() -> Iterator[_File]:
    """Make a file: in memory on Linux, else in a folder that only this user reads."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("privfl")
        try:
            yield _InMemory(handle)
        finally:
            os.close(handle)
    else:
        with tempfile.TemporaryDirectory(prefix="privfl-") as folder:
            yield _File(os.path.join(folder, "seal"))
