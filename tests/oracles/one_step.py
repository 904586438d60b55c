"""What a client sends after steps of SGD, written out with torch.optim."""

import copy

import torch
from torch import Tensor, nn


def update(
    model: nn.Module, x: Tensor, y: Tensor, *, lr: float, batch: int | None = None
) -> Tensor:
    """Weights after less weights before: one step over all images, or one a batch."""
    worker = copy.deepcopy(model)
    before = flat(worker)
    optimiser = torch.optim.SGD(worker.parameters(), lr=lr)
    for rows in torch.arange(len(x)).split(batch or len(x)):
        optimiser.zero_grad()
        nn.functional.cross_entropy(worker(x[rows]), y[rows]).backward()
        optimiser.step()
    return flat(worker) - before


def gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The mean gradient itself."""
    loss = nn.functional.cross_entropy(model(x), y)
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


def flat(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])
