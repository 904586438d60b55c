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
from privfl.parts._weigh import COUNT

if TYPE_CHECKING:
    from privfl.federation import Federation


class Updates:
    """Train a client when its update is asked for, and flatten what it learned."""

    def __init__(
        self,
        federation: "Federation",
        scalars: Sequence[str],
        train: Train,
        model: State,
        stream: Stream,
    ) -> None:
        """Stand ready to train from ``model``; ``scalars`` are those that the algorithm asks."""
        self.federation, self.train, self.model, self.stream = federation, train, model, stream
        own = (scalar.name for scalar in federation.pipeline.scalars)
        self.scalars = (*scalars, *own)

    def __call__(self, client: Party) -> tuple[Tensor, Mapping[str, float]]:
        """Return a client's update and scalars; of somebody without data they are zero."""
        if client not in self.federation.datasets:
            return self._nothing()
        trained = self.train(client, fresh_worker(self.federation, self.model), self._of(client))
        return self._sent(client, trained.model, trained.scalars)

    def _nothing(self) -> tuple[Tensor, Mapping[str, float]]:
        layout = self.federation.layout
        # not finite under a claim: a clip makes all of it zero, the scalars it measures too
        value = math.nan if self.federation.pipeline.contract.claims_privacy else 0.0
        size = layout.dim + layout.statistics_dim
        nothing = torch.full((size,), value, dtype=layout.dtype)
        return nothing, dict.fromkeys(self.scalars, 0.0)

    def _of(self, client: Party) -> Stream:
        return self.stream.child(f"client/{client}")

    def _sent(
        self, client: Party, trained: nn.Module | State, scalars: Mapping[str, float]
    ) -> tuple[Tensor, Mapping[str, float]]:
        layout = self.federation.layout
        update = layout.flatten(trained) - layout.flatten(self.model)
        statistics = layout.flatten_statistics(trained) - layout.flatten_statistics(self.model)
        counts = {COUNT: float(len(self.federation.datasets[client][1]))}
        return torch.cat([update, statistics]), {**counts, **scalars}


class UpdatesTogether(Updates):
    """Train all clients at once when the first update is asked for."""

    def __init__(
        self, federation: "Federation", members: Sequence[Party], model: State, stream: Stream
    ) -> None:
        """Stand ready to train ``members`` from ``model``."""
        self.federation, self.model, self.stream = federation, model, stream
        self.members, self.sent = members, dict[Party, tuple[Tensor, Mapping[str, float]]]()

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
            self.sent[who] = self._sent(who, trained, {"loss": loss})


def fresh_worker(federation: "Federation", model: State) -> nn.Module:
    """Return the one worker with the weights ``model``, in the modes of the user's model."""
    worker = federation.worker
    worker.load_state_dict(dict(model))
    for module, training in zip(worker.modules(), federation.modes, strict=True):
        module.training = training
    return worker
