"""Whose phone holds which text, and what nobody's phone holds."""

from collections.abc import Mapping

import torch
from torch import Tensor

from privfl.data import kjv_sample
from privfl.parts import Data

HELD_OUT = 0.1  # the end of each book, on which models are compared
ALPHABET = kjv_sample().alphabet


def deal(books: Mapping[str, Tensor], size: int, window: int) -> tuple[list[Data], Data]:
    """Cut each book into phones of ``size`` characters, and hold out its end.

    Args:
        books: codes (n,) of each book.
        size: characters of a phone; what is left over behind the last one is dropped.
        window: characters that are read in one go.

    Returns:
        The phones' data, and the held-out data: codes x (n, window), and y (n, window) that follow.
    """
    phones, ends = [], []
    for codes in books.values():
        cut = round((1 - HELD_OUT) * len(codes))
        phones += [windows(phone, window) for phone in codes[:cut].unfold(0, size, size)]
        ends.append(windows(codes[cut:], window))
    x, y = (torch.cat(sides) for sides in zip(*ends, strict=True))
    return phones, (x, y)


def windows(codes: Tensor, length: int) -> Data:
    """Cut text into runs and what follows each character: (n,) -> two of (n_runs, length)."""
    return codes[:-1].unfold(0, length, length), codes[1:].unfold(0, length, length)


def encode(text: str) -> Tensor:
    """Turn text into codes: -> (n,)."""
    return torch.tensor([ALPHABET.index(character) for character in text])
