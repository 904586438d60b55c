"""Clients who take one step on real digits, and what a server sees of it."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from oracles.one_step import update
from privfl.core import Layout, Rows, Vantage
from privfl.data import mnist_sample
from privfl.views import Knowledge, View

SHAPE = (1, 28, 28)
LEARNING_RATE = 0.1


@dataclass(frozen=True)
class Staged:
    """What an attack gets, and the truth apart from it."""

    view: View
    knowledge: Knowledge
    images: Tensor
    labels: Tensor


sample = cache(mnist_sample)


def cnn(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, 2, 2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 5, 2, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1568, 10),
    )


def mlp(seed: int = 0, outputs: int = 10) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, outputs))


def trained(model: nn.Module, steps: int) -> nn.Module:
    """Train on batches of 320 at the demo's step size."""
    x, y = sample().train
    generator = torch.Generator().manual_seed(5)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.2)
    for _ in range(steps):
        rows = torch.randint(len(y), (320,), generator=generator)
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimiser.step()
    return model


def digits(rows: int, n: int, *, seed: int = 0, label: int | None = None) -> tuple[Tensor, Tensor]:
    """Draw images (rows, n, *shape) with labels (rows, n), none twice, of one label or of all."""
    x, y = sample().train
    fits = torch.arange(len(y)) if label is None else (y == label).nonzero().flatten()
    order = fits[torch.randperm(len(fits), generator=torch.Generator().manual_seed(seed))]
    chosen = order[: rows * n].reshape(rows, n)
    return x[chosen], y[chosen]


def stage(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    n_clients: int = 1,
    clip: float | None = None,
    noise_std: float = 0.0,
    prior: Tensor | None = None,
) -> Staged:
    """Let ``n_clients`` share each row's images, step once each, and show the server the sum."""
    rows = [_row(model, x, y, n_clients, clip) for x, y in zip(images, labels, strict=True)]
    sums = torch.stack(rows)
    sums = sums + noise_std * torch.randn(sums.shape, generator=torch.Generator().manual_seed(1))
    knowledge = Knowledge(
        model,
        nn.functional.cross_entropy,
        Layout.of(model),
        shape=tuple(images.shape[2:]),
        n_images=images.shape[1],
        labels=labels,
        learning_rate=LEARNING_RATE,
        n_clients=n_clients,
        noise_std=noise_std,
        prior=prior,
    )
    return Staged(view_of(sums), knowledge, images, labels)


def view_of(sums: Tensor) -> View:
    return View(Vantage.SERVER, rows=Rows(sums, tuple((k,) for k in range(len(sums)))))


def _row(model: nn.Module, x: Tensor, y: Tensor, n_clients: int, clip: float | None) -> Tensor:
    parts = zip(x.chunk(n_clients), y.chunk(n_clients), strict=True)
    sent = [update(model, *part, lr=LEARNING_RATE) for part in parts]
    if clip is not None:
        sent = [u * min(1.0, clip / float(u.norm())) for u in sent]
    return torch.stack(sent).sum(dim=0)
