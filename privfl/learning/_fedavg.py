"""Federated averaging."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from privfl.core import Party, Scalar, require_positive
from privfl.learning._algorithm import Exchange, State, weights_of


@dataclass(frozen=True)
class FedAvg:
    """Average what clients trained from the common model (McMahan et al. 2017).

    https://arxiv.org/abs/1602.05629, algorithm 1, with the update (trained less common weights) in
    place of the weights, which is the same for a mean. Clients count alike unless the pipeline
    holds `privfl.parts.Weigh`. The training loss travels as a scalar of the update, capped at
    ``loss_bound``, so whatever protects the update protects it; None sends none.

    >>> FedAvg().scalars
    (Scalar(name='loss', bound=10.0, share=0.1),)
    """

    loss_bound: float | None = 10.0

    clients_can_step: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a cap that caps nothing."""
        if self.loss_bound is not None:
            require_positive("loss_bound", self.loss_bound)

    @property
    def scalars(self) -> tuple[Scalar, ...]:
        """The training loss, at a tenth of the clip norm: it adds .5 % to the joint bound."""
        return () if self.loss_bound is None else (Scalar("loss", self.loss_bound, share=0.1),)

    def start(self, model: nn.Module) -> State:
        """Start from the model's weights."""
        return weights_of(model)

    def round(self, state: State, members: Sequence[Party], exchange: Exchange) -> State:
        """Let everybody train from the common weights, and add the aggregate."""
        return exchange.moved(state, exchange(members, exchange.local, model=state))

    def model(self, state: State) -> State:
        """Return the common weights."""
        return state
