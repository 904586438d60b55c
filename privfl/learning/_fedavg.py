"""Federated averaging."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from privfl.core import Party
from privfl.learning._algorithm import Exchange, OneModel, State
from privfl.learning._reports_loss import ReportsLoss


@dataclass(frozen=True, kw_only=True)
class FedAvg(ReportsLoss[State], OneModel):
    """Average what clients trained from the common model (McMahan et al. 2017).

    https://arxiv.org/abs/1602.05629, algorithm 1, with the update (trained less common weights) in
    place of the weights, which is the same for a mean. Local epochs are the trainer's:
    ``LocalSGD(epochs=5)``. Clients count alike unless the pipeline holds `privfl.parts.Weigh`. The
    training loss travels as a scalar of the update, capped at ``loss_bound``, so whatever protects
    the update protects it; None sends none.

    >>> FedAvg().scalars
    (Scalar(name='loss', bound=10.0, share=0.1),)
    """

    clients_can_step: ClassVar[bool] = True

    def round(self, state: State, members: Sequence[Party], exchange: Exchange) -> State:
        """Let everybody train from the common weights, and add the aggregate."""
        return exchange.moved(state, exchange(members, exchange.local, model=state))
