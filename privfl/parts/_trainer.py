"""The kind of part that turns data into an update, inside the client."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from privfl.core import Charge
from privfl.crypto import Stream
from privfl.parts._part import Part

Loss = Callable[[Tensor, Tensor], Tensor]
Data = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Trained:
    """Hold what training gave: the model, the scalars to send, and the charges to write."""

    model: nn.Module = field(repr=False)
    scalars: Mapping[str, float] = field(default_factory=dict)
    charges: tuple[Charge, ...] = ()


class Trainer(Part):
    """Train a model on one client's data.

    Attributes:
        reports: names of the scalars that `train` always returns.
    """

    reports: ClassVar[tuple[str, ...]] = ()

    def train(self, model: nn.Module, data: Data, loss: Loss, generator: Stream) -> Trained:
        """Train ``model`` in place on ``data`` and return it with what goes along."""
        raise NotImplementedError
