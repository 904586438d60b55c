"""Images that a notebook shows."""

from dataclasses import dataclass, field

from torch import Tensor

from privfl.core import require
from privfl.evaluate._png import grey, png


@dataclass(frozen=True, eq=False)
class Picture:
    """Show grey images (n, 1, h, w) in [0, 1] side by side, ``zoom`` times as large.

    >>> import torch
    >>> Picture(torch.zeros(3, 1, 28, 28))
    Picture(3 images of 28 x 28)
    """

    images: Tensor = field(repr=False)
    zoom: int = 3

    def __post_init__(self) -> None:
        """Refuse what is not grey."""
        shape = tuple(self.images.shape)
        good = self.images.ndim == 4 and shape[1] == 1 and len(self.images) > 0
        require(good, "images must have shape (n, 1, h, w)", f"shape {shape}")

    def _repr_png_(self) -> bytes:
        return png(grey(self.images[:, 0], enlarge=self.zoom))

    def __repr__(self) -> str:
        """Say what it would show."""
        height, width = self.images.shape[-2:]
        return f"Picture({len(self.images)} images of {height} x {width})"
