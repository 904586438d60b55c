"""The kind of part that turns data into an update, inside the client."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

from torch import Tensor, nn

from privfl.core import Charge, require
from privfl.crypto import Stream
from privfl.parts._part import Part

Loss = Callable[[Tensor, Tensor], Tensor]
Data = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Trained:
    """Hold what training gave: the model or its weights, and the scalars to send."""

    model: nn.Module | Mapping[str, Tensor] = field(repr=False)
    scalars: Mapping[str, float] = field(default_factory=dict)


class Trainer(Part):
    """Train a model on one client's data.

    Attributes:
        reports: names of the scalars that `train` always returns.
        fills_grad: whether it steps by what ``backward()`` leaves in ``.grad``, so that an
            algorithm can add to it.
    """

    reports: ClassVar[tuple[str, ...]] = ()
    fills_grad: ClassVar[bool] = True

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

    def n_steps(self, n_records: int) -> int:
        """Return how many steps the work on ``n_records`` has: 1 where nobody counts them."""
        del n_records
        return 1

    def partly(self, share: float, n_records: int) -> Self:
        """Return the trainer for a straggler that gets ``share`` of its work done.

        Raises:
            ValueError: for a training that has no parts.
        """
        del n_records
        wanted, fix = f"{self!r} does all of its work", "Train with LocalSGD(…)"
        require(share == 1, wanted, f"a client that has time for {share:.2g} of it", fix)
        return self

    def charges(self, n_records: int) -> tuple[Charge, ...]:
        """Return what one call of `train` on ``n_records`` releases; nothing where it is not DP.

        Known before training, so that a ledger is charged before anything leaves the client.
        """
        del n_records
        return ()
