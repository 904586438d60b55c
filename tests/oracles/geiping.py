"""The objective of Geiping et al. 2020, section 4, one row and one pixel pair at a time."""

import numpy as np
import torch
from torch import Tensor, nn

from oracles.one_step import gradient


def matching_loss(model: nn.Module, images: Tensor, labels: Tensor, update: Tensor) -> float:
    """One less the cosine between the gradient at the images and minus the update."""
    made = gradient(model, images, labels).double().numpy()
    seen = -update.double().numpy()
    return 1 - float(made @ seen) / float(np.linalg.norm(made) * np.linalg.norm(seen))


def total_variation(images: Tensor) -> float:
    """Mean absolute step downwards plus mean absolute step to the right."""
    down, right = [], []
    for image in images.double().reshape(-1, *images.shape[-2:]).tolist():
        for i, line in enumerate(image):
            for j, pixel in enumerate(line):
                if i + 1 < len(image):
                    down.append(abs(image[i + 1][j] - pixel))
                if j + 1 < len(line):
                    right.append(abs(line[j + 1] - pixel))
    return float(torch.tensor(down).mean() + torch.tensor(right).mean())
