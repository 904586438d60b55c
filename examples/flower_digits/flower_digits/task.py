"""The model, training and testing: nothing here knows that others train too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

Data = tuple[Tensor, Tensor]
Loop = tuple[nn.Module, Any, Any]  # model, optimizer, loader

torch.set_num_threads(1)  # clients share the cores


def make_model(seed: int = 0) -> nn.Module:
    """Make a small convolutional network: 28,938 parameters."""
    with torch.random.fork_rng(devices=[]):  # others draw from it too
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 16, kernel_size=5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=5, stride=2, padding=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(1568, 10),
        )


def load_images(folder: Path) -> tuple[Data, Data]:
    """Read a client's images: four fifths to train on, the rest to test on."""
    with np.load(folder / "digits.npz") as file:
        x, y = torch.from_numpy(file["images"]), torch.from_numpy(file["labels"])
    cut = len(y) * 4 // 5
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def train(
    model: nn.Module,
    data: Data,
    *,
    seed: int,
    epochs: int = 1,
    prepare: Callable[..., Loop] | None = None,
) -> None:
    """Train on ``data`` in an order that depends on ``seed``.

    What ``prepare`` makes of model, optimizer and loader takes their place.
    """
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    loader = DataLoader(TensorDataset(*data), batch_size=32, shuffle=True, generator=order)
    model.train()
    if prepare is not None:
        model, optimizer, loader = prepare(model, optimizer, loader)
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()


def test(model: nn.Module, data: Data) -> float:
    """Return the share of images that ``model`` reads right."""
    x, y = data
    with torch.no_grad():
        return float((model.eval()(x).argmax(1) == y).float().mean())
