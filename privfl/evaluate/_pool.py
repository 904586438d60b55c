"""The crowd out of which a victim's image is picked."""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from privfl.core import require
from privfl.crypto import Stream
from privfl.evaluate._assign import centred


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
        private = set(_keys(images))
        keep = [k for k, key in enumerate(self._keys) if key not in private]
        smaller = Pool(self.images[keep], self.labels[keep])
        # what was computed for the whole pool holds for its part: a verdict asks many times
        smaller.__dict__["_keys"] = [self._keys[k] for k in keep]
        smaller.__dict__["_directions"] = self._directions[keep]
        return smaller

    def correlation(self, images: Tensor) -> Tensor:
        """Correlate pixels with every image of the pool: (k, *shape) -> (k, m) in [-1, 1]."""
        return centred(images) @ self._directions.T

    @cached_property
    def _keys(self) -> list[bytes]:
        return _keys(self.images)

    @cached_property
    def _directions(self) -> Tensor:
        return centred(self.images)

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


def _keys(images: Tensor) -> list[bytes]:
    return [image.tobytes() for image in images.detach().cpu().float().numpy()]
