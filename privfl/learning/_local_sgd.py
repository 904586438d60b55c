"""Plain local training."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from privfl.core import require, require_count, require_positive
from privfl.crypto import Stream
from privfl.parts import Data, Loss, Trained, Trainer


@dataclass(frozen=True)
class LocalSGD(Trainer):
    """Train on one client's data by mini-batch SGD, shuffled anew each epoch.

    Args:
        lr: learning rate.
        batch_size: examples a step; a rest smaller than that is a step too.
        epochs: passes over the data.
        steps: stop after so many steps, however many epochs that are; None: after ``epochs``.
        momentum: of the SGD.

    >>> LocalSGD(lr=0.1, steps=6)
    LocalSGD(lr=0.1, batch_size=32, epochs=1, steps=6, momentum=0.0)
    """

    reports: ClassVar[tuple[str, ...]] = ("loss",)

    lr: float = 0.1
    batch_size: int = 32
    epochs: int = 1
    steps: int | None = None
    momentum: float = 0.0

    def __post_init__(self) -> None:
        """Refuse training that takes no step."""
        require_positive("lr", self.lr)
        require_count("batch_size", self.batch_size, least=1)
        require_count("epochs", self.epochs, least=1)
        if self.steps is not None:
            require_count("steps", self.steps, least=1)

    def train(self, model: nn.Module, data: Data, loss: Loss, generator: Stream) -> Trained:
        """Train ``model`` in place; the scalar ``loss`` is the mean over the steps."""
        require_training(model)
        x, y = data
        optimizer = torch.optim.SGD(model.parameters(), self.lr, momentum=self.momentum)
        losses = []
        for batch in self.batches(len(x), generator.torch_generator()):
            optimizer.zero_grad()
            value = loss(model(x[batch]), y[batch])
            value.backward()
            optimizer.step()
            losses.append(value.detach())
        return Trained(model, {"loss": float(torch.stack(losses).mean())})

    def batches(self, n: int, generator: torch.Generator) -> list[Tensor]:
        """Cut shuffled epochs into batches, as many as are asked for."""
        batches: list[Tensor] = []
        while len(batches) < self.n_steps(n):
            batches += torch.randperm(n, generator=generator).split(self.batch_size)
        return batches[: self.n_steps(n)]

    def n_steps(self, n_records: int) -> int:
        """Return ``steps``, or what ``epochs`` over ``n_records`` come to."""
        if self.steps is not None:
            return self.steps
        return self.epochs * -(-n_records // self.batch_size)

    def partly(self, share: float, n_records: int) -> Self:
        """Take that share of the steps, down to the next whole number, and at least one."""
        return replace(self, steps=max(1, int(share * self.n_steps(n_records) + 1e-9)))


def require_training(model: nn.Module) -> None:
    """Refuse a model in eval mode: its batch statistics and dropout would be off, in silence."""
    wanted = "A model is handed to a Trainer in training mode"
    require(model.training, wanted, "eval mode", "Call model.train() first")
