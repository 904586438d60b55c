"""What a federated algorithm is: what is shared, and how the server steps."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from privfl.core import Party, Scalar
from privfl.crypto import Stream
from privfl.parts import Trained
from privfl.rounds import Release

S = TypeVar("S")
Train = Callable[[Party, nn.Module, Stream], Trained]
State = Mapping[str, Tensor]


class Exchange(Protocol):
    """Run one hardened exchange: clients train, one aggregate comes back.

    The algorithm knows nothing of the pipeline, and the pipeline nothing of the algorithm.
    """

    @property
    def local(self) -> Train:
        """The clients' own training."""

    def __call__(
        self,
        members: Sequence[Party],
        train: Train,
        *,
        model: State,
        weights: Sequence[float] | None = None,
        owners: Tensor | None = None,
    ) -> Release:
        """Let ``members`` train from ``model`` and return the aggregate of their updates."""

    def moved(self, model: State, release: Release) -> State:
        """Return ``model`` plus the release, running statistics included."""


class Algorithm(Protocol[S]):
    """State what clients share and how the server steps; FedAvg is one exchange a round.

    One with a true attribute ``clients_can_step`` asks nothing of a server: the next model is the
    last one plus the release, so that clients who open a sum by themselves make it too. Without,
    a pipeline whose result stays with the clients is refused (rule R9).
    """

    @property
    def scalars(self) -> tuple[Scalar, ...]:
        """What clients send besides the update."""

    def start(self, model: nn.Module) -> S:
        """Return the state before the first round."""

    def round(self, state: S, members: Sequence[Party], exchange: Exchange) -> S:
        """Run one round and return the next state."""

    def model(self, state: S) -> State:
        """Return the weights that a state stands for."""


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Copy the weights of a module."""
    with torch.no_grad():
        return {name: tensor.clone() for name, tensor in model.state_dict().items()}
