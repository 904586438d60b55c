"""The model: a body that makes a vector of an image, and a head that names the digit."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

WIDTH = 16  # numbers in an embedding

PERSONAL = ("head",)  # what stays with its client


def make_model(seed: int) -> nn.Sequential:
    """Make body and head; the body has 5,744 weights.

    It is small on purpose: noise that hides a client grows with the root of that number.
    """
    with torch.random.fork_rng(devices=[]):  # others draw from it too
        torch.manual_seed(seed)
        body = nn.Sequential(
            nn.Conv2d(1, 8, kernel_size=5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(8, 16, kernel_size=5, stride=2, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(144, WIDTH),
        )
        return nn.Sequential(OrderedDict(body=body, head=nn.Linear(WIDTH, 10)))


@torch.no_grad()
def embed(model: nn.Module, images: Tensor) -> Tensor:
    """Return the body's vector for each image: (n, 1, 28, 28) -> (n, WIDTH)."""
    embedding: Tensor = model.get_submodule("body")(images)
    return embedding


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the share of images whose digit body and head name."""
    return float((model(images).argmax(dim=1) == labels).float().mean())
