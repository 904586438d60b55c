"""The crowd out of which a victim's image is picked."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from privfl.core import require
from privfl.crypto import Stream


@dataclass(frozen=True, eq=False)
class Pool:
    """Hold images of the same kind as the private ones, with their labels.

    Attributes:
        images: (m, *shape) in [0, 1].
        labels: (m,).

    >>> Pool(torch.rand(3, 1, 8, 8), torch.tensor([0, 1, 1]))
    Pool(3 images)
    """

    images: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse labels that do not fit the images."""
        found = f"{tuple(self.images.shape)} and {tuple(self.labels.shape)}"
        good = self.images.ndim > 1 and self.labels.shape == self.images.shape[:1]
        require(good, "A pool needs images (m, *shape) and labels (m,)", found)

    def __repr__(self) -> str:
        """Say how many images there are."""
        return f"Pool({len(self.labels)} images)"

    def without(self, images: Tensor) -> "Pool":
        """Return the pool less everything that equals one of ``images`` (k, *shape)."""
        private = {_bytes(image) for image in images}
        keep = [k for k, image in enumerate(self.images) if _bytes(image) not in private]
        return Pool(self.images[keep], self.labels[keep])

    def draw(self, labels: Tensor, generator: Stream) -> Tensor:
        """Draw one image of each label, none twice: (k,) -> positions (k,).

        Raises:
            ValueError: where the pool has too few images of a label.
        """
        drawn = torch.empty(len(labels), dtype=torch.int64)
        for label in sorted(set(labels.tolist())):
            places = (labels == label).nonzero().flatten()
            drawn[places] = self.crowd(label, len(places), generator)
        return drawn

    def crowd(self, label: int, n: int, generator: Stream, besides: Tensor | None = None) -> Tensor:
        """Draw ``n`` images of one label, other than those at ``besides``: -> positions (n,).

        Raises:
            ValueError: where the pool has too few.
        """
        fits = self.labels == label
        if besides is not None:
            fits[besides] = False
        places = fits.nonzero().flatten()
        wanted = f"The pool must hold {n} images of label {label} that are not in the update"
        require(len(places) >= n, wanted, len(places), "Give a larger pool, or pick among fewer")
        return places[generator.permutation(len(places))[:n]]


def _bytes(image: Tensor) -> bytes:
    return image.detach().cpu().float().numpy().tobytes()
