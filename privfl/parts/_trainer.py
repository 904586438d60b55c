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
    """Hold what training gave: the model, and the scalars to send."""

    model: nn.Module = field(repr=False)
    scalars: Mapping[str, float] = field(default_factory=dict)


class Trainer(Part):
    """Train a model on one client's data.

    Attributes:
        reports: names of the scalars that `train` always returns.
    """

    reports: ClassVar[tuple[str, ...]] = ()

    @property
    def hides_records(self) -> bool:
        """Whether what it releases is charged, so that single records are hidden."""
        return type(self).charges is not Trainer.charges

    @property
    def step_std(self) -> float:
        """Standard deviation of the noise that one step adds to each weight: public."""
        return 0.0

    def train(self, model: nn.Module, data: Data, loss: Loss, generator: Stream) -> Trained:
        """Train ``model`` in place on ``data`` and return it with what goes along."""
        raise NotImplementedError

    def charges(self, n_records: int) -> tuple[Charge, ...]:
        """Return what one call of `train` on ``n_records`` releases; nothing where it is not DP.

        Known before training, so that a ledger is charged before anything leaves the client.
        """
        del n_records
        return ()
