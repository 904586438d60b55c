"""The picture: a query of each digit, and what each model found for it."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from search import Search, recall
from torch import Tensor, nn

from privfl.evaluate._lettering import lettering
from privfl.evaluate._png import grey, png

Pixels = NDArray[np.uint8]  # (height, width, 3)
Colour = tuple[int, int, int]

N_HITS = 6
RIGHT, WRONG = (0, 158, 115), (213, 94, 0)  # green and vermilion that the colour-blind tell apart
PAPER, QUIET, INK = (255, 255, 255), (205, 209, 214), (21, 24, 28)
ZOOM, FRAME, GAP, MARGIN = 2, 5, 6, 28  # pixels


def draw(search: Search, models: Mapping[str, nn.Module]) -> bytes:
    """Draw the first query of each digit and the first hits of each model, as a PNG file.

    A hit is framed by whether it shows the query's digit. Nobody chose the queries.
    """
    rows = torch.stack([(search.query_labels == digit).nonzero()[0, 0] for digit in range(10)])
    plain = torch.zeros(10, 1, dtype=torch.long)
    blocks = [_block("query", search.queries[rows][:, None], plain, [QUIET])]
    for name, model in models.items():
        hits = search.hits(model, N_HITS)
        title = f"{name}: {recall(search.right(hits), 1):.0%} of first hits right"
        hits = hits[rows]
        blocks.append(_block(title, search.gallery[hits], search.right(hits, rows), [WRONG, RIGHT]))
    table = _beside(blocks)
    key = _beside([_text("the query's digit", RIGHT), _text("another digit", WRONG)])
    return png(_padded(np.vstack([table, _wide(key, table.shape[1])]), MARGIN, PAPER))


def _block(title: str, images: Tensor, kinds: Tensor, colours: list[Colour]) -> Pixels:
    """Lay out (rows, k, 1, 28, 28) images below a title; ``kinds`` (rows, k) say whose colour."""
    lines = [
        np.hstack([_tile(image[0], colours[kind]) for image, kind in zip(*line, strict=True)])
        for line in zip(images, kinds.long().tolist(), strict=True)
    ]
    tiles = np.vstack(lines)
    return np.vstack([_wide(_text(title, INK), tiles.shape[1]), tiles])


def _tile(image: Tensor, colour: Colour) -> Pixels:
    inked = np.stack([grey(1 - image[None], enlarge=ZOOM)] * 3, axis=-1)
    return _padded(_padded(inked, FRAME, colour), GAP // 2, PAPER)


def _text(text: str, colour: Colour) -> Pixels:
    ink = lettering(text, 13, 1.8)[..., None]
    return _padded(np.round(255 + ink * (np.array(colour) - 255.0)).astype(np.uint8), GAP, PAPER)


def _padded(pixels: Pixels, border: int, colour: Colour) -> Pixels:
    height, width, _ = pixels.shape
    page = np.empty((height + 2 * border, width + 2 * border, 3), np.uint8)
    page[:] = colour
    page[border:-border, border:-border] = pixels
    return page


def _wide(pixels: Pixels, width: int) -> Pixels:
    """Fill up to the right with paper, or cut."""
    missing = max(0, width - pixels.shape[1])
    return np.pad(pixels, ((0, 0), (0, missing), (0, 0)), constant_values=255)[:, :width]


def _beside(parts: list[Pixels]) -> Pixels:
    gap = np.full((parts[0].shape[0], MARGIN, 3), 255, np.uint8)
    return np.hstack([piece for part in parts for piece in (part, gap)])[:, :-MARGIN]
