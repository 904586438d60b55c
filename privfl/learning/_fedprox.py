"""Federated averaging that stays close to the common model."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from privfl.core import Layout, Party, require, require_positive
from privfl.crypto import Stream
from privfl.learning._algorithm import Exchange, State, Train, refuse
from privfl.learning._fedavg import FedAvg
from privfl.parts import Trained, Trainer
from privfl.rounds import Line
from privfl.sampling import Sampling


@dataclass(frozen=True)
class FedProx(FedAvg):
    """Add ``mu / 2 * ||w - w_t||^2`` to each client's loss, and keep stragglers' partial work.

    Li et al. 2020 (https://arxiv.org/abs/1812.06127), algorithm 2; the server averages as in
    `FedAvg`. The term is added where it acts, on the gradient: ``mu * (w - w_t)``. So it goes with
    any training that fills ``.grad`` by ``backward()``, the user's own function included; one that
    does not is refused, because its term would be missing in silence.

    Guarantees:
        - ``FedProx(mu=0)`` is `FedAvg`, to the bit, where nobody straggles.

    >>> FedProx(mu=0.1).keeps_partial_work
    True
    """

    mu: float = 0.1

    keeps_partial_work: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a term that pushes away."""
        super().__post_init__()
        if self.mu != 0:
            require_positive("mu", self.mu)

    def check(self, line: Line, local: Trainer, sampling: Sampling, layout: Layout) -> None:
        """Refuse training whose gradients the term would not reach."""
        super().check(line, local, sampling, layout)
        if self.mu and not local.fills_grad:
            reason = f"{local!r} computes gradients by itself, and {self!r} adds to .grad"
            refuse("R33", (self, local), reason, "Train with LocalSGD(…), or use FedAvg()")

    def round(self, state: State, members: Sequence[Party], exchange: Exchange) -> State:
        """Let everybody train close to the common weights, and add the aggregate."""
        local = exchange.local

        def run(client: Party, model: nn.Module, generator: Stream) -> Trained:
            with pulled_back(model, self.mu):
                return local(client, model, generator)

        train = Train(run, local.reports) if self.mu else local
        return exchange.moved(state, exchange(members, train, model=state))


@contextmanager
def pulled_back(model: nn.Module, mu: float) -> Iterator[None]:
    """Add ``mu * (w - w_0)`` to every gradient that is made inside, ``w_0`` being now's weights.

    Raises:
        ValueError: at the end, where no gradient was made.
    """
    reached: list[bool] = []

    def pull(parameter: nn.Parameter, start: Tensor) -> None:
        def added(gradient: Tensor) -> Tensor:
            reached.append(True)
            return gradient + mu * (parameter.detach() - start)

        handles.append(parameter.register_hook(added))

    handles: list[object] = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            pull(parameter, parameter.detach().clone())
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()  # type: ignore[attr-defined]
    wanted = "FedProx trains the model that it hands over, by backward()"
    require(bool(reached), wanted, "a training whose gradients never reached it")
