"""Server optimisers around any algorithm with a server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from torch import Tensor, nn

from privfl.core import Layout, Party, Scalar
from privfl.learning._algorithm import Algorithm, Binding, Exchange, State, refuse
from privfl.learning._centralised import Centralised
from privfl.learning._fedavg import FedAvg
from privfl.learning._gossip import Gossip
from privfl.learning._server_optimizers import ServerOptimizer
from privfl.parts import Trainer
from privfl.rounds import Line
from privfl.sampling import Sampling


class Optimized(TypedDict):
    """Hold the algorithm's state and, by tensor, what the optimiser remembers."""

    inner: Any
    memory: Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class FedOpt(Algorithm[Optimized]):
    """Let the server step by an optimiser, with the average update in place of a gradient.

    Reddi et al. 2021 (https://arxiv.org/abs/2003.00295), algorithm 1: `ServerAdam`, `ServerYogi`,
    `ServerAdagrad`, `ServerMomentum`. It goes around any ``algorithm`` that has a server. What it
    remembers is made of releases, so that it costs no privacy (rule R25); it steps at the server,
    so the result must come there (rule R9).

    Guarantees:
        - ``FedOpt(ServerMomentum(lr=1, momentum=0))`` is the algorithm itself, up to rounding.

    >>> from privfl.learning import ServerAdam
    >>> FedOpt(ServerAdam(lr=0.1)).algorithm
    FedAvg(loss_bound=10.0)
    """

    optimizer: ServerOptimizer
    algorithm: Algorithm[Any] = field(default_factory=FedAvg)

    @property
    def model_binding(self) -> Binding:
        """The algorithm's."""
        return self.algorithm.model_binding

    @property
    def keeps_partial_work(self) -> bool:
        """As the algorithm does."""
        return self.algorithm.keeps_partial_work

    @property
    def one_sum(self) -> bool:
        """As the algorithm has it."""
        return self.algorithm.one_sum

    @property
    def sums_a_round(self) -> int:
        """As the algorithm has it."""
        return self.algorithm.sums_a_round

    def smallest_sum(self, clients: Sequence[Party]) -> int:
        """As the algorithm has it."""
        return self.algorithm.smallest_sum(clients)

    @property
    def scalars(self) -> tuple[Scalar, ...]:
        """The algorithm's."""
        return self.algorithm.scalars

    def check(self, line: Line, local: Trainer, sampling: Sampling, layout: Layout) -> None:
        """Refuse an algorithm without a server, and what the algorithm refuses."""
        if isinstance(self.algorithm, Gossip | Centralised | FedOpt):
            reason = f"{self.optimizer!r} steps at a server, and {type(self.algorithm).__name__} "
            reason += "has none that could"
            refuse("R33", (self, self.algorithm), reason, "Use the algorithm alone")
        self.algorithm.check(line, local, sampling, layout)

    def layout(self, model: nn.Module) -> Layout:
        """Share what the algorithm shares."""
        return self.algorithm.layout(model)

    def start(self, model: nn.Module, clients: Sequence[Party]) -> Optimized:
        """Start the algorithm; nothing is remembered yet."""
        return {"inner": self.algorithm.start(model, clients), "memory": {}}

    def round(self, state: Optimized, members: Sequence[Party], exchange: Exchange) -> Optimized:
        """Run the algorithm's round, and step by the optimiser where it would go."""
        before = self.algorithm.model(state["inner"])
        inner = self.algorithm.round(state["inner"], members, exchange)
        after, memory, stepped = self.algorithm.model(inner), {}, dict(before)
        shared = {e.name for e in exchange.layout.entries if e.kind == "parameter"}
        for name, tensor in after.items():
            if name not in shared:
                stepped[name] = tensor
                continue
            update = tensor - before[name]
            memory[name], step = self.optimizer.step(state["memory"].get(name, {}), update)
            stepped[name] = before[name] + step
        return {"inner": self.algorithm.with_model(inner, stepped), "memory": memory}

    def model(self, state: Optimized) -> State:
        """Return the algorithm's common weights."""
        return self.algorithm.model(state["inner"])

    def with_model(self, state: Optimized, weights: State) -> Optimized:
        """Hand other weights to the algorithm."""
        return {**state, "inner": self.algorithm.with_model(state["inner"], weights)}

    def weights_of(self, state: Optimized, client: Party) -> State:
        """Return what a client of the algorithm uses."""
        return self.algorithm.weights_of(state["inner"], client)

    def network_of(self, client: Party, model: nn.Module) -> nn.Module:
        """Return the network of a client of the algorithm."""
        return self.algorithm.network_of(client, model)
