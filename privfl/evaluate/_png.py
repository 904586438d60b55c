"""Pictures as PNG, by zlib alone."""

import base64
import struct
import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privfl.core import require

Pixels = NDArray[np.uint8]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2}  # channels: grey, RGB


def png(pixels: Pixels) -> bytes:
    """Write (height, width) grey or (height, width, 3) RGB bytes as a PNG file.

    The format is that of https://www.w3.org/TR/png-3, 8 bits deep, without filters.

    Raises:
        ValueError: for another shape or another type than uint8.

    >>> png(np.zeros((2, 3), np.uint8))[1:4]
    b'PNG'
    """
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    found = f"{pixels.dtype} of shape {pixels.shape}"
    require(fits and pixels.dtype == np.uint8, "a PNG takes uint8 (h, w) or (h, w, 3)", found)
    height, width = pixels.shape[:2]
    lines = pixels.reshape(height, -1)
    plain = np.hstack([np.zeros((height, 1), np.uint8), lines])  # each line opens with "no filter"
    colour = _COLOUR_TYPES[lines.shape[1] // width]
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    body = zlib.compress(plain.tobytes(), 9)
    return _SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def data_uri(pixels: Pixels) -> str:
    """Return a picture as text that fits an ``src``."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()


def grey(images: Tensor, *, enlarge: int = 1) -> Pixels:
    """Lay (k, height, width) images in [0, 1] side by side, each pixel ``enlarge`` wide and high.

    What is below 0 or no number becomes black, what is above 1 white.

    >>> grey(torch.tensor([[[0.0, 2.0]], [[0.5, float("nan")]]]))
    array([[  0, 255, 128,   0]], dtype=uint8)
    """
    clean = torch.nan_to_num(images.detach().cpu().float(), nan=0.0).clamp(0, 1)
    row = torch.cat(list(clean), dim=1).mul(255).round().to(torch.uint8).numpy()
    return row.repeat(enlarge, axis=0).repeat(enlarge, axis=1)


def _chunk(kind: bytes, body: bytes) -> bytes:
    """Frame a chunk: its length, kind, body, and a checksum of the last two."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
