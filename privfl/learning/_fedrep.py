"""Personal layers first, then the body."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from privfl.core import Layout, Party
from privfl.crypto import Stream
from privfl.learning._algorithm import Exchange, Train, refuse
from privfl.learning._fedper import FedPer
from privfl.parts import Trained, Trainer
from privfl.rounds import Line
from privfl.sampling import Sampling


@dataclass(frozen=True)
class FedRep(FedPer):
    """Train the personal layers on a frozen body, then the body on frozen personal layers.

    Collins et al. 2021 (https://arxiv.org/abs/2102.07078), algorithm 1. The body is trained by the
    federation's own trainer.

    Args:
        personal: as for `FedPer`.
        head: trains the personal layers; None: the federation's trainer.

    >>> from privfl.learning import LocalSGD
    >>> FedRep(["head"], head=LocalSGD(lr=0.1, epochs=5)).head.epochs
    5
    """

    head: Trainer | None = None

    def check(self, line: Line, local: Trainer, sampling: Sampling, layout: Layout) -> None:
        """Refuse training that charges for one release a round: this one trains twice."""
        super().check(line, local, sampling, layout)
        if local.hides_records:
            reason = f"{self!r} trains twice a round, and {local!r} is charged for one training"
            refuse("R33", (self, local), reason, f"Use FedPer({list(self.personal)})")

    def training(self, exchange: Exchange) -> Train:
        """Train both parts in turn; the loss is the body's."""
        body = exchange.local
        head = body if self.head is None else exchange.trained_by(self.head)

        def run(client: Party, model: nn.Module, generator: Stream) -> Trained:
            own = {name for name, _ in model.named_parameters() if self._is_personal(name)}
            if own:  # what is personal may be running statistics alone
                with only_training(model, own):
                    head(client, model, generator.child("head"))
            with only_training(model, {name for name, _ in model.named_parameters()} - own):
                return body(client, model, generator.child("body"))

        return Train(run, body.reports)


@contextmanager
def only_training(model: nn.Module, names: set[str]) -> Iterator[None]:
    """Freeze every parameter that is not named, and free those again that were free before."""
    frozen = [
        parameter
        for name, parameter in model.named_parameters()
        if name not in names and parameter.requires_grad
    ]
    for parameter in frozen:
        parameter.requires_grad_(False)
        parameter.grad = None  # an optimiser steps by a gradient that is left over
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
