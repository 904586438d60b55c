"""Read a PNG file by its specification, for tests: 8 bits deep, without filters."""

import struct
import zlib

import numpy as np


def read_png(file: bytes) -> np.ndarray:
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    chunks = dict(chunks_of(file[8:]))
    width, height, depth, colour, packing, filters, interlace = struct.unpack(
        ">IIBBBBB", chunks["IHDR"]
    )
    assert (depth, packing, filters, interlace) == (8, 0, 0, 0)
    channels = {0: 1, 2: 3}[colour]
    data = np.frombuffer(zlib.decompress(chunks["IDAT"]), np.uint8)
    lines = data.reshape(height, 1 + width * channels)
    assert not lines[:, 0].any()  # no line is filtered
    shape = (height, width) if channels == 1 else (height, width, 3)
    return lines[:, 1:].reshape(shape)


def chunks_of(data: bytes):
    while data:
        (length,) = struct.unpack(">I", data[:4])
        kind, body = data[4:8], data[8 : 8 + length]
        assert struct.unpack(">I", data[8 + length : 12 + length]) == (checksum(kind + body),)
        yield kind.decode(), body
        data = data[12 + length :]


def checksum(data: bytes) -> int:
    """CRC-32 bit by bit, as annex D of the specification writes it."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
    return value ^ 0xFFFFFFFF
