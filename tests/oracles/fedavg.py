"""FedAvg as algorithm 1 of McMahan et al. 2017 writes it, with full batches."""

import copy

import torch
from torch import Tensor, nn


def fedavg_round(
    model: nn.Module,
    data: list[tuple[Tensor, Tensor]],
    *,
    lr: float,
    steps: int,
    by_examples: bool = False,
    only: list[int] | None = None,
) -> Tensor:
    """Return the averaged weights after one round, as one vector, in float64."""
    chosen = range(len(data)) if only is None else only
    trained, sizes = [], []
    for k in chosen:
        worker = copy.deepcopy(model).double()
        x, y = data[k]
        for _ in range(steps):
            loss = nn.functional.cross_entropy(worker(x.double()), y)
            gradients = torch.autograd.grad(loss, list(worker.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(worker.parameters(), gradients, strict=True):
                    parameter -= lr * gradient
        trained.append(torch.cat([p.detach().flatten() for p in worker.parameters()]))
        sizes.append(float(len(y)) if by_examples else 1.0)
    total = sum(size * vector for size, vector in zip(sizes, trained, strict=True))
    return (total / sum(sizes)).float()
