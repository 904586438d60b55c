"""Letters as strokes, so that a picture can be labelled without a font or an image library."""

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

Ink = NDArray[np.float64]  # (height, width), 0 paper, 1 full ink

# A glyph is strokes joined by commas, a stroke points "xy": base line y = 2, lower case up to 7,
# capitals up to 9. "~" marks a control point of a quadratic curve; between two of them lies their
# midpoint, as in TrueType.
_RING = "27 ~07 ~02 ~42 ~47 27"
_GLYPHS = {
    "A": "02 39 62, 14 54", "B": "02 09 29 ~49 ~46 26 06, 26 ~56 ~52 22 02",
    "C": "57 ~59 ~09 ~02 ~52 54", "D": "02 09 29 ~59 ~52 22 02", "E": "49 09 02 42, 06 36",
    "F": "49 09 02, 06 36", "G": "57 ~59 ~09 ~02 ~52 55 35", "H": "02 09, 52 59, 06 56",
    "I": "02 09", "J": "39 34 ~32 ~02 03", "K": "02 09, 49 05, 16 52", "L": "09 02 42",
    "M": "02 09 34 69 62", "N": "02 09 52 59", "O": "39 ~69 ~62 ~02 ~09 39",
    "P": "02 09 29 ~59 ~55 25 05", "Q": "39 ~69 ~62 ~02 ~09 39, 44 61",
    "R": "02 09 29 ~59 ~55 25 05, 25 52", "S": "48 ~49 ~09 ~06 ~45 ~42 ~02 03",
    "T": "09 49, 29 22", "U": "09 05 ~02 ~52 55 59", "V": "09 32 69", "W": "09 22 48 62 89",
    "X": "09 52, 02 59", "Y": "09 25 49, 25 22", "Z": "09 59 02 52",
    "a": f"{_RING}, 47 42", "b": f"02 09, {_RING}", "c": "46 ~47 ~07 ~02 ~42 43",
    "d": f"42 49, {_RING}", "e": "05 45 ~47 ~07 ~02 ~42 43", "f": "39 ~19 17 12, 07 37",
    "g": f"{_RING}, 47 42 ~40 ~00 01", "h": "02 09, 05 ~07 ~47 45 42", "i": "02 07, 09 09",
    "j": "17 12 ~10 00, 19 19", "k": "02 09, 47 04, 15 42", "l": "09 03 ~02 12",
    "m": "02 07, 05 ~07 ~37 35 32, 35 ~37 ~67 65 62", "n": "02 07, 05 ~07 ~47 45 42", "o": _RING,
    "p": f"00 07, {_RING}", "q": f"40 47, {_RING}", "r": "02 07, 04 ~07 37",
    "s": "46 ~47 ~07 ~05 ~44 ~42 ~02 03", "t": "19 14 ~12 32, 07 37",
    "u": "07 04 ~02 ~42 44, 47 42", "v": "07 22 47", "w": "07 12 37 52 67", "x": "07 42, 02 47",
    "y": "07 22, 47 10", "z": "07 47 02 42",
    "0": "29 ~49 ~42 ~02 ~09 29", "1": "08 29 22", "2": "07 ~09 ~49 ~46 02 42",
    "3": "08 ~09 ~49 ~46 26 ~46 ~42 ~02 03", "4": "32 39 04 44", "5": "49 09 06 26 ~46 ~42 ~02 03",
    "6": "26 ~46 ~42 ~02 ~06 26, 04 ~09 39", "7": "09 49 12",
    "8": "29 ~49 ~46 ~06 ~09 29, 26 ~46 ~42 ~02 ~06 26", "9": "25 ~05 ~09 ~49 ~45 25, 47 ~42 12",
    ".": "02 02", ",": "12 01", ":": "02 02, 06 06", ";": "06 06, 12 01", "!": "09 05, 02 02",
    "?": "07 ~09 ~49 ~46 25 24, 22 22", "'": "09 07", '"': "09 07, 29 27", "`": "09 17",
    "(": "19 ~07 ~03 11", ")": "09 ~17 ~13 01", "[": "19 09 01 11", "]": "09 19 11 01",
    "{": "29 ~19 17 ~15 05 ~15 13 ~11 21", "}": "09 ~19 17 ~15 25 ~15 13 ~11 01",
    "<": "47 05 43", ">": "07 45 03", "=": "04 44, 06 46", "+": "05 45, 23 27", "-": "05 35",
    "*": "15 19, 06 28, 08 26", "/": "01 49", "\\": "09 41", "_": "01 41", "|": "01 09",
    "%": "02 69, 19 ~29 ~27 ~07 ~09 19, 54 ~64 ~62 ~42 ~44 54", "#": "12 29, 42 59, 07 67, 04 64",
    "&": "52 08 ~09 ~39 ~36 05 ~03 ~02 ~42 55", "$": "48 ~49 ~09 ~06 ~45 ~42 ~02 03, 21 29",
    "@": "64 ~62 ~02 ~09 ~69 64 ~63 44, 36 ~46 ~43 ~23 ~26 36, 46 44",
    "^": "07 29 47", "~": "04 ~06 ~26 ~25 ~24 ~44 46", "\u2212": "05 45", "\u2013": "05 55",
    "\u2019": "09 07", "\u00d7": "03 47, 07 43", "\u00b7": "05 05",
    "\u03b5": "36 ~37 ~07 ~05 25 ~05 ~02 ~32 33",
}  # fmt: skip
_UNKNOWN = "02 09 49 42 02"
_SPACE = 2.6  # units, between words; letters stand 2 apart
_CURVE = np.linspace(0, 1, 9)[:, None]


def lettering(text: str, height: int, weight: float) -> Ink:
    """Draw a line of text, (rows, columns), with smooth edges.

    Args:
        text: one line; an accent is left away, a character without a glyph becomes a box.
        height: of a capital, in pixels; the picture is 12/7 of it high.
        weight: of a stroke, in pixels.
    """
    plain = unicodedata.normalize("NFKD", text)
    marks = [_glyph(c, height, weight) for c in plain if not unicodedata.combining(c)]
    return np.hstack([*marks, _blank(height, 0)])


def _blank(height: int, width: float) -> Ink:
    return np.zeros((round(height * 12 / 7), round(width)))


@cache
def _glyph(char: str, height: int, weight: float) -> Ink:
    unit = height / 7
    if char.isspace():
        return _blank(height, _SPACE * unit)
    strokes = [_points(stroke) for stroke in _GLYPHS.get(char, _UNKNOWN).split(", ")]
    page = _blank(height, (max(s[:, 0].max() for s in strokes) + 2) * unit)
    rows, columns = np.indices(page.shape)
    dots = np.stack([columns / unit - 1, 10.5 - rows / unit], axis=-1)
    distance = np.min([_distance(dots, stroke) for stroke in strokes], axis=0) * unit
    ink: Ink = np.clip(weight / 2 + 0.5 - distance, 0, 1)
    return ink


def _points(stroke: str) -> NDArray[np.float64]:
    """Flatten a stroke to points, (k, 2)."""
    marks = stroke.split()
    at = [np.array([int(mark[-2]), int(mark[-1])], float) for mark in marks]
    bent = [mark.startswith("~") for mark in marks]
    line = [at[0]]
    for k in range(1, len(at)):
        if bent[k]:
            end = (at[k] + at[k + 1]) / 2 if bent[k + 1] else at[k + 1]
            start, t = line[-1], _CURVE
            line.extend((1 - t) ** 2 * start + 2 * t * (1 - t) * at[k] + t**2 * end)
        elif not bent[k - 1]:
            line.append(at[k])
    return np.array(line)


def _distance(dots: NDArray[np.float64], line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each dot is from the nearest of a line's segments."""
    start, step = line[:-1], np.diff(line, axis=0)
    off = dots[..., None, :] - start
    length = np.maximum((step**2).sum(-1), 1e-12)  # a point is a segment of no length
    along = np.clip((off * step).sum(-1) / length, 0, 1)
    gap = off - along[..., None] * step
    distance: NDArray[np.float64] = np.sqrt((gap**2).sum(-1).min(-1))
    return distance
