"""MNIST's own files, in the IDX format (http://yann.lecun.com/exdb/mnist/)."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from privfl.data._digits import Digits, Pixels, as_pair

_IMAGES, _LABELS = 0x0803, 0x0801  # unsigned bytes (08) in three dimensions, or in one


def mnist(root: str | Path) -> Digits:
    """Read the full MNIST from the four IDX files in a folder, packed (``.gz``) or not.

    Args:
        root: the folder that holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
            ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``.

    Raises:
        FileNotFoundError: one of the four is not there.
        ValueError: a file is not what its name says: damaged, another magic number, another
            length, another image size, a label above 9, or not one label an image.

    Guarantees:
        - Pixels and labels are those of the files, in their order.

    >>> mnist("mnist")
    Traceback (most recent call last):
    ...
    FileNotFoundError: mnist must hold train-images-idx3-ubyte, packed or not. Found no such folder.
    """
    folder = Path(root)
    return Digits(
        train=as_pair(*read_half(folder, "train")), test=as_pair(*read_half(folder, "t10k"))
    )


def read_half(folder: Path, name: str) -> tuple[Pixels, Pixels]:
    """Read images (n, 28, 28) and labels (n,), as bytes, of one half: ``train`` or ``t10k``."""
    images = _read(_find(folder, f"{name}-images-idx3-ubyte"), _IMAGES)
    labels = _read(_find(folder, f"{name}-labels-idx1-ubyte"), _LABELS)
    if images.shape[1:] != (28, 28):
        raise ValueError(f"{name} images must be 28 by 28. Found shape {images.shape}.")
    if len(images) != len(labels):
        raise ValueError(
            f"{name} must hold one label an image. "
            f"Found {len(labels)} labels for {len(images)} images."
        )
    if labels.max(initial=0) > 9:
        raise ValueError(f"{name} labels must be from 0 to 9. Found {labels.max()}.")
    return images, labels


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    found = "neither of the two" if folder.is_dir() else "no such folder"
    raise FileNotFoundError(f"{folder} must hold {name}, packed or not. Found {found}.")


def _read(path: Path, magic: int) -> Pixels:
    raw = _unpack(path)
    header = 4 * (1 + magic % 256)  # the magic number, then one length a dimension: its last byte
    found = int.from_bytes(raw[:4], "big")
    if len(raw) < header or found != magic:
        raise ValueError(
            f"{path} must begin with the IDX magic number {magic:#06x}. "
            f"Found {found:#06x} in {len(raw)} bytes. Fetch the file again."
        )
    shape = tuple(int(n) for n in np.frombuffer(raw[4:header], ">u4"))
    if len(raw) != header + math.prod(shape):
        raise ValueError(
            f"{path} must hold {header + math.prod(shape)} bytes for its shape {shape}. "
            f"Found {len(raw)}. Fetch the file again."
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _unpack(path: Path) -> bytes:
    raw = path.read_bytes()
    if path.suffix != ".gz":
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as damage:
        raise ValueError(
            f"{path} must be a whole gzip file. Found: {damage}. Fetch it again."
        ) from damage
