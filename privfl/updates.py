"""What the clients of a federation send, made when it is asked for."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from privfl.core import Party
from privfl.crypto import Stream
from privfl.learning import Train
from privfl.learning._algorithm import State
from privfl.parts import Data, Loss
from privfl.parts._weigh import COUNT
from privfl.pipeline import Pipeline

if TYPE_CHECKING:
    from privfl.exchange import Exchange
    from privfl.federation import Federation

NOBODY = ("nobody",)  # stands in for an empty cohort: a round without members is a release too
AT_ONCE = 1024  # examples: enough to be fast, and small activations


class Updates:
    """Train a client when its update is asked for, and flatten what it learned."""

    def __init__(
        self,
        exchange: "Exchange",
        pipeline: Pipeline,
        scalars: Sequence[str],
        train: Train,
        model: State,
        bases: Mapping[Party, State],
        stream: Stream,
    ) -> None:
        """Stand ready to train from ``model``, or from a client's own base."""
        self.federation, self.pipeline = exchange.federation, pipeline
        self.scalars, self.train = scalars, train
        self.model, self.bases, self.stream = model, bases, stream
        self.start = self.federation.layout.flatten(model)

    def __call__(self, client: Party) -> tuple[Tensor, Mapping[str, float]]:
        """Return a client's update and scalars; they are zero where there is nobody."""
        if client in NOBODY:
            return self._nothing()
        base = self.bases.get(client, self.model)
        trained = self.train(client, fresh_worker(self.federation, base), self._of(client))
        return self._sent(client, trained.model, trained.scalars, base)

    def _nothing(self) -> tuple[Tensor, Mapping[str, float]]:
        layout = self.federation.layout
        # not finite under a claim: a clip makes all of it zero, the scalars it measures too
        value = math.nan if self.pipeline.contract.claims_privacy else 0.0
        size = layout.dim + layout.statistics_dim
        nothing = torch.full((size,), value, dtype=layout.dtype)
        return nothing, dict.fromkeys(self.scalars, 0.0)

    def _of(self, client: Party) -> Stream:
        return self.stream.child(f"client/{client}")

    def _sent(
        self,
        client: Party,
        trained: nn.Module | State,
        scalars: Mapping[str, float],
        base: State,
    ) -> tuple[Tensor, Mapping[str, float]]:
        layout = self.federation.layout
        start = self.start if base is self.model else layout.flatten(base)
        update = layout.flatten(trained).sub_(start)
        if layout.statistics_dim:
            statistics = layout.flatten_statistics(trained) - layout.flatten_statistics(base)
            update = torch.cat([update, statistics])
        data = self.federation.datasets.get(client)
        counts = {} if data is None else {COUNT: float(len(data[1]))}
        return update, {**counts, **scalars}


class UpdatesTogether(Updates):
    """Train all clients at once when the first update is asked for."""

    def __init__(
        self,
        exchange: "Exchange",
        pipeline: Pipeline,
        members: Sequence[Party],
        model: State,
        stream: Stream,
    ) -> None:
        """Stand ready to train ``members`` from ``model``."""
        super().__init__(exchange, pipeline, ("loss",), exchange.local, model, {}, stream)
        self.exchange, self.members = exchange, members
        self.sent = dict[Party, tuple[Tensor, Mapping[str, float]]]()

    def __call__(self, client: Party) -> tuple[Tensor, Mapping[str, float]]:
        """Return a client's update and scalars."""
        if not self.sent:
            self._train_all()
        return self.sent[client]

    def _train_all(self) -> None:
        federation, local = self.federation, self.federation.local
        weights, losses = local.train_many(  # type: ignore[attr-defined]
            fresh_worker(federation, self.model),
            [federation.datasets[who] for who in self.members],
            federation.loss,
            [self._of(who) for who in self.members],
        )
        for who, trained, loss in zip(self.members, weights, losses, strict=True):
            self.exchange.machines.work(who, self.exchange.steps_of(who))
            self.sent[who] = self._sent(who, trained, {"loss": loss}, self.model)


def fresh_worker(federation: "Federation", model: State) -> nn.Module:
    """Return the one worker with the weights ``model``, in the modes of the user's model."""
    worker = federation.worker
    worker.load_state_dict(dict(model))
    worker.zero_grad()  # of the client before
    for module, training in zip(worker.modules(), federation.modes, strict=True):
        module.training = training
    return worker


def mean_loss(model: nn.Module, data: Data, loss: Loss) -> float:
    """Return the mean loss of ``model`` on all of ``data``; nothing of the model changes."""
    modes = [module.training for module in model.modules()]
    model.eval()
    total = 0.0
    with torch.no_grad():
        for x, y in zip(*(part.split(AT_ONCE) for part in data), strict=True):
            total += float(loss(model(x), y)) * len(y)
    for module, training in zip(model.modules(), modes, strict=True):
        module.training = training
    return total / len(data[1])
