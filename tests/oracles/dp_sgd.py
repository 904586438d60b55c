"""One step of DP-SGD, one example at a time.

Abadi et al. 2016, https://arxiv.org/abs/1607.00133, algorithm 1, without its noise: the gradient
of each example's own loss, over all trained weights as one vector, divided by max(1, norm / C).
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]


def gradient(model: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> Tensor:
    """The gradient of one example's loss, flat; zero for weights that the loss does not reach."""
    trained = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss(model(x[None]), y[None]), trained, allow_unused=True)
    parts = [torch.zeros_like(p) if g is None else g for p, g in zip(trained, found, strict=True)]
    return torch.cat([part.flatten() for part in parts]).double()


def clipped_sum(model: nn.Module, x: Tensor, y: Tensor, loss: Loss, clip_norm: float) -> Tensor:
    """The sum of clipped gradients; a gradient that is not finite is zero."""
    total = torch.zeros(sum(p.numel() for p in model.parameters() if p.requires_grad)).double()
    for one, label in zip(x, y, strict=True):
        g = gradient(model, one, label, loss)
        if torch.isfinite(g).all():
            total += g / max(1.0, float(g.norm()) / clip_norm)
    return total


def train(
    model: nn.Module,
    batches: list[tuple[Tensor, Tensor]],
    loss: Loss,
    *,
    lr: float,
    clip_norm: float,
    divisor: float,
    momentum: float = 0.0,
) -> Tensor:
    """The trained weights, flat, after a step on each batch: SGD with momentum, no noise."""
    worker = copy.deepcopy(model)
    trained = [p for p in worker.parameters() if p.requires_grad]
    velocity = torch.zeros(sum(p.numel() for p in trained)).double()
    for x, y in batches:
        velocity = momentum * velocity + clipped_sum(worker, x, y, loss, clip_norm) / divisor
        steps = velocity.split([p.numel() for p in trained])
        with torch.no_grad():
            for p, step in zip(trained, steps, strict=True):
                p -= lr * step.view_as(p).to(p.dtype)
    return torch.cat([p.detach().flatten() for p in trained]).double()
