"""The text that ships with the package."""

from importlib.resources import files
from types import MappingProxyType

import numpy as np
import torch

from privfl.data._books import Books

ALPHABET = "\n !'(),-.:;?abcdefghijklmnopqrstuvwxyz"  # all that the text holds in lower case


def kjv_sample() -> Books:
    r"""Read the beginnings of 20 books of the King James Bible from the package.

    One book is one client: they differ in style and words as users do, and nobody's messages are
    needed. Each has up to 32,000 characters, in lower case, and ends with a whole verse; a verse
    ends with a new line. ``scripts/make_kjv_sample.py`` made them, and ``ATTRIBUTION.md`` beside
    the file says where they are from. Nothing is downloaded.

    Guarantees:
        - Every character is in the alphabet, and every letter of it occurs.

    >>> kjv_sample().text("Genesis")[:55]
    'in the beginning god created the heaven and the earth.\n'
    """
    with (files("privfl.data") / "kjv_sample.npz").open("rb") as file:
        arrays = dict(np.load(file, allow_pickle=False))
    books = {name: torch.from_numpy(codes.astype(np.int64)) for name, codes in arrays.items()}
    return Books(MappingProxyType(books), ALPHABET)
