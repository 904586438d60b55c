"""The hero strip as a PNG file, for where no page can be shown."""

import numpy as np
from torch import Tensor

from privfl.core import require
from privfl.evaluate._lettering import lettering
from privfl.evaluate._png import Pixels, grey, png
from privfl.evaluate._table import Pictures, StripRow
from privfl.evaluate._words import STRIP_CAPTION, STRIP_TITLE, TRUTH, epsilon, fraction, picked

# Everything is drawn twice as large as it is shown, so that it is sharp on a fine screen.
_NAMES, _TEXTS, _TILE, _GAP, _MARGIN = 390, 590, 84, 10, 34
_INK, _SOFT, _MARK, _FAINT = (21, 24, 28), (91, 97, 104), (163, 51, 11), (220, 223, 227)
_PIP = (22, 11)

Colour = tuple[int, int, int]


def strip_png(pictures: Pictures) -> bytes:
    """Draw what the server sees of one training step, one row a pipeline, as a PNG file.

    Raises:
        ValueError: when there is no strip to draw.

    >>> import torch
    >>> row = StripRow("undefended", torch.rand(10, 28, 28), picked=9, accuracy=0.9, epsilon="3")
    >>> strip_png(Pictures(strip=(row,)))[1:4]
    b'PNG'
    """
    wanted = "the strip needs pictures of at least one pipeline"
    require(bool(pictures.strip), wanted, "none", "Give the duel more time")
    rows = [_row(row.name, row.images, _outcome(row)) for row in pictures.strip]
    if pictures.truth is not None:
        rows.insert(0, _row(TRUTH, pictures.truth, _blank(0, 0)))
    width = max(row.shape[1] for row in rows)
    left = _blank(1, _MARGIN + _NAMES + _MARGIN)
    title = _text(STRIP_TITLE, width, 28, 3.6, _INK)
    caption = _text(STRIP_CAPTION, width - left.shape[1] - _MARGIN, 18, 2.3, _SOFT)
    gap = _blank(_MARGIN, 0)
    head, foot = _beside([left, title]), _beside([left, caption])
    return png(_stack([gap, head, gap, *rows, gap, foot, gap]))


def _row(name: str, images: Tensor, outcome: Pixels) -> Pixels:
    words = _text(name, _NAMES, 21, 2.7, _INK)
    indent = _blank(1, _MARGIN + _NAMES - words.shape[1])
    space, rest = _blank(1, _MARGIN), _blank(1, _TEXTS - outcome.shape[1])
    row = _beside([indent, words, space, _tiles(images), space, outcome, rest])
    return _stack([row, _blank(_MARGIN * 2 // 3, 0)])


def _tiles(images: Tensor) -> Pixels:
    enlarge = max(1, round(_TILE / images.shape[1]))  # whole pixels: nothing is smoothed over
    tiles = [np.stack([grey(image[None], enlarge=enlarge)] * 3, axis=-1) for image in images]
    return _beside([part for tile in tiles for part in (tile, _blank(1, _GAP))])


def _outcome(row: StripRow) -> Pixels:
    pips = [_pip(_MARK if k < row.picked else _FAINT) for k in range(len(row.images))]
    return _stack(
        [
            _beside(pips),
            _text(picked(row), _TEXTS, 21, 3.3, _INK),
            _text(f"accuracy {fraction(row.accuracy)}", _TEXTS, 18, 2.3, _SOFT),
            _text(epsilon(row.epsilon), _TEXTS, 18, 2.3, _SOFT),
        ]
    )


def _pip(colour: Colour) -> Pixels:
    pip = np.empty((_PIP[1], _PIP[0], 3), np.uint8)
    pip[:] = colour
    return _stack([_beside([pip, _blank(1, 6)]), _blank(8, 0)])


def _text(text: str, width: int, height: int, weight: float, colour: Colour) -> Pixels:
    """Write a text in as many lines as it needs; a word that is too long is cut."""
    lines: list[Pixels] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and lettering(longer, height, weight).shape[1] > width:
            lines.append(_line(line, height, weight, colour))
            longer = word
        line = longer
    return _stack([*lines, _line(line, height, weight, colour)])[:, :width]


def _line(text: str, height: int, weight: float, colour: Colour) -> Pixels:
    ink = lettering(text, height, weight)[..., None]
    return np.round(255 + ink * (np.array(colour) - 255.0)).astype(np.uint8)


def _blank(height: int, width: int) -> Pixels:
    return np.full((height, width, 3), 255, np.uint8)


def _stack(parts: list[Pixels]) -> Pixels:
    """Put parts below each other, flush left."""
    width = max(part.shape[1] for part in parts)
    return np.vstack([np.hstack([p, _blank(p.shape[0], width - p.shape[1])]) for p in parts])


def _beside(parts: list[Pixels]) -> Pixels:
    """Put parts beside each other, their middles on one line."""
    height = max(part.shape[0] for part in parts)
    return np.hstack([_centred(part, height) for part in parts])


def _centred(part: Pixels, height: int) -> Pixels:
    above = (height - part.shape[0]) // 2
    below = height - part.shape[0] - above
    return np.vstack([_blank(above, part.shape[1]), part, _blank(below, part.shape[1])])
