"""Handwritten digits as tensors."""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Pixels: TypeAlias = npt.NDArray[np.uint8]  # (n, 28, 28) for images, (n,) for labels


@dataclass(frozen=True, eq=False)
class Digits:
    """Hold training and test images with their labels.

    Attributes:
        train: images (n, 1, 28, 28), float32 in [0, 1], and labels (n,), int64 from 0 to 9.
        test: the same for the images that no model is trained on.

    >>> from privfl.data import mnist_sample
    >>> mnist_sample()
    Digits(5000 for training, 1000 for testing)
    """

    train: tuple[Tensor, Tensor] = field(repr=False)
    test: tuple[Tensor, Tensor] = field(repr=False)

    def __repr__(self) -> str:
        """Say how many images there are."""
        return f"Digits({len(self.train[1])} for training, {len(self.test[1])} for testing)"


def as_pair(images: Pixels, labels: Pixels) -> tuple[Tensor, Tensor]:
    """Scale bytes to what a model takes: (n, 28, 28), (n,) -> (n, 1, 28, 28), (n,)."""
    x = torch.from_numpy(images.astype(np.float32) / 255)
    return x.unsqueeze(1), torch.from_numpy(labels.astype(np.int64))
