"""Pictures to find shapes in: rectangles and discs on noise, and where they are."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SIZE = 64  # pixels a side
NAMES = ("rectangle", "disc")
COLOURS = ((220, 40, 40), (40, 80, 220))  # the background is grey noise between the two
SMALLEST, LARGEST = 12, 24


@dataclass(frozen=True)
class Shape:
    """A shape of one kind that fills the box from ``(left, top)``, ends excluded, in pixels."""

    kind: int
    left: int
    top: int
    width: int
    height: int

    @property
    def label(self) -> str:
        """Kind, centre and size as fractions of the picture: a line of a YOLO label file."""
        centre = (self.left + self.width / 2) / SIZE, (self.top + self.height / 2) / SIZE
        size = self.width / SIZE, self.height / SIZE
        return " ".join([str(self.kind), *(f"{value:.6f}" for value in (*centre, *size))])

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The pixels of the shape: (SIZE, SIZE)."""
        y, x = np.mgrid[:SIZE, :SIZE] + 0.5  # a pixel is where its centre is
        across = (x - self.left) / self.width * 2 - 1  # from -1 to 1 over the box
        down = (y - self.top) / self.height * 2 - 1
        if NAMES[self.kind] == "rectangle":
            return np.maximum(abs(across), abs(down)) <= 1
        return across**2 + down**2 <= 1


@dataclass(frozen=True)
class Picture:
    """A picture (SIZE, SIZE, 3) and the shapes in it, which do not overlap."""

    pixels: NDArray[np.uint8] = field(repr=False)
    shapes: tuple[Shape, ...]

    @property
    def labels(self) -> str:
        """The text of its YOLO label file."""
        return "".join(f"{shape.label}\n" for shape in self.shapes)


def draw(rng: np.random.Generator) -> Picture:
    """Draw a picture with a shape in each half."""
    pixels = rng.integers(90, 170, (SIZE, SIZE, 3), dtype=np.uint8)
    shapes = tuple(_place(rng, left, SIZE // 2) for left in (0, SIZE // 2))
    for shape in shapes:
        pixels[shape.mask] = COLOURS[shape.kind]
    return Picture(pixels, shapes)


def _place(rng: np.random.Generator, left: int, room: int) -> Shape:
    """Place a shape anywhere in the ``room`` columns from ``left`` on; a disc is round."""
    kind = int(rng.integers(len(NAMES)))
    width, height = (int(side) for side in rng.integers(SMALLEST, LARGEST + 1, 2))
    if NAMES[kind] == "disc":
        height = width
    right, down = rng.integers(0, (room - width + 1, SIZE - height + 1))
    return Shape(kind, left + int(right), int(down), width, height)
