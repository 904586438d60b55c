"""A user's own training function as a Trainer."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from privfl.core import require
from privfl.crypto import Stream
from privfl.parts import Data, Loss, Trained, Trainer

TrainFunction = Callable[[nn.Module, Data, torch.Generator], nn.Module]


@dataclass(frozen=True)
class _FromFunction(Trainer):
    """Train by ``function(model, data, generator) -> model``."""

    function: TrainFunction

    def train(self, model: nn.Module, data: Data, loss: Loss, generator: Stream) -> Trained:
        """Call the function; it owns its loss, so none is reported."""
        del loss
        trained = self.function(model, data, generator.torch_generator())
        wanted = "local(model, data, generator) must return the trained model"
        require(isinstance(trained, nn.Module), wanted, type(trained).__name__)
        return Trained(trained)


def as_trainer(local: Trainer | TrainFunction) -> Trainer:
    """Return ``local`` as a Trainer."""
    if isinstance(local, Trainer):
        return local
    wanted = "local is a Trainer or a function (model, data, generator) -> model"
    require(callable(local), wanted, repr(local))
    return _FromFunction(local)
