"""A common model that is one step away from everybody's own."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor, nn

from privfl.core import Layout, Party, require_positive
from privfl.crypto import Stream
from privfl.learning._algorithm import Exchange, State, refuse
from privfl.learning._fedavg import FedAvg
from privfl.learning._local_sgd import LocalSGD, require_training
from privfl.parts import Data, Loss, Trained, Trainer
from privfl.rounds import Line
from privfl.sampling import Sampling


@dataclass(frozen=True)
class PerFedAvg(FedAvg):
    """Learn weights from which one step of SGD makes a good personal model (first order).

    Fallah et al. 2020 (https://arxiv.org/abs/2002.07948), algorithm 1 without the Hessian: a local
    step goes from ``w`` to ``w - beta * grad f(w - alpha * grad f(w, D), D')`` on two batches ``D``
    and ``D'``. ``beta``, batch size and the number of steps are the `LocalSGD`'s of the federation.
    A client uses ``adapted(model, data, loss)``.

    >>> PerFedAvg(alpha=0.01).alpha
    0.01
    """

    alpha: float = 0.01

    def __post_init__(self) -> None:
        """Refuse an inner step that goes nowhere."""
        super().__post_init__()
        require_positive("alpha", self.alpha)

    def check(self, line: Line, local: Trainer, sampling: Sampling, layout: Layout) -> None:
        """Take plain SGD, whose steps are replaced."""
        super().check(line, local, sampling, layout)
        if type(local) is not LocalSGD:
            reason = f"{self!r} has local steps of its own, and takes their number from LocalSGD"
            refuse("R33", (self, local), reason, "Train with LocalSGD(…)")

    def round(self, state: State, members: Sequence[Party], exchange: Exchange) -> State:
        """Let everybody take steps that look one step ahead, and add the aggregate."""
        train = exchange.trained_by(LookAheadSGD.of(exchange.trainer, self.alpha))
        return exchange.moved(state, exchange(members, train, model=state))

    def adapted(self, model: nn.Module, data: Data, loss: Loss) -> nn.Module:
        """Take the personal step of a client on ``data``, in place."""
        step(model, *data, loss, self.alpha)
        return model


@dataclass(frozen=True)
class LookAheadSGD(LocalSGD):
    """Step by the gradient at the point that one inner step leads to."""

    reports: ClassVar[tuple[str, ...]] = ("loss",)

    alpha: float = 0.01

    @classmethod
    def of(cls, local: Trainer, alpha: float) -> "LookAheadSGD":
        """Take everything else from ``local``."""
        given = {f.name: getattr(local, f.name) for f in fields(LocalSGD)}
        return cls(**given, alpha=alpha)

    def train(self, model: nn.Module, data: Data, loss: Loss, generator: Stream) -> Trained:
        """Train ``model`` in place; the scalar ``loss`` is the mean loss after the inner steps."""
        require_training(model)
        x, y = data
        optimizer = torch.optim.SGD(model.parameters(), self.lr, momentum=self.momentum)
        draws = generator.torch_generator()
        inner, outer = self.batches(len(x), draws), self.batches(len(x), draws)
        losses = []
        for ahead, batch in zip(inner, outer, strict=True):
            start = [p.detach().clone() for p in model.parameters()]
            step(model, x[ahead], y[ahead], loss, self.alpha)
            optimizer.zero_grad()
            value = loss(model(x[batch]), y[batch])
            value.backward()
            put_back(model, start)
            optimizer.step()
            losses.append(value.detach())
        return Trained(model, {"loss": float(torch.stack(losses).mean())})


def step(model: nn.Module, x: Tensor, y: Tensor, loss: Loss, lr: float) -> None:
    """Take one step of SGD in place."""
    trained = [p for p in model.parameters() if p.requires_grad]
    slopes = torch.autograd.grad(loss(model(x), y), trained, allow_unused=True)
    with torch.no_grad():
        for parameter, slope in zip(trained, slopes, strict=True):
            if slope is not None:
                parameter.sub_(lr * slope)


def put_back(model: nn.Module, start: Sequence[Tensor]) -> None:
    """Write weights back in place; gradients stay."""
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), start, strict=True):
            parameter.copy_(value)
