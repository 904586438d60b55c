"""The training loss, as a scalar of the update."""

from dataclasses import dataclass

from privfl.core import Scalar, require_positive
from privfl.learning._algorithm import Algorithm, S


@dataclass(frozen=True, kw_only=True)
class ReportsLoss(Algorithm[S]):
    """Be an algorithm whose clients send their training loss, capped at ``loss_bound``.

    It travels as a scalar of the update, so whatever protects the update protects it; None sends
    none.
    """

    loss_bound: float | None = 10.0

    def __post_init__(self) -> None:
        """Refuse a cap that caps nothing."""
        if self.loss_bound is not None:
            require_positive("loss_bound", self.loss_bound)

    @property
    def scalars(self) -> tuple[Scalar, ...]:
        """The training loss, at a tenth of the clip norm: it adds .5 % to the joint bound."""
        return () if self.loss_bound is None else (Scalar("loss", self.loss_bound, share=0.1),)
