"""Averaging at edges, and now and then in the cloud."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from privfl.core import Layout, Party, require, require_count
from privfl.learning._algorithm import Exchange, OneModel, State, Train, refuse
from privfl.learning._reports_loss import ReportsLoss
from privfl.parts import Trained, Trainer
from privfl.pipeline import Pipeline
from privfl.rounds import Line
from privfl.sampling import Sampling


@dataclass(frozen=True)
class HierFAVG(ReportsLoss[State], OneModel):
    """Average inside of edges for some rounds, then over the edges (Liu et al. 2020).

    https://arxiv.org/abs/1905.06641, algorithm 1: ``kappa_1`` local steps are the trainer's,
    ``kappa_2`` is ``edge_rounds``. The federation's pipeline runs inside of each edge, ``cloud``
    over the edges' means, which count by their clients. Masks inside of edges and a robust rule in
    the cloud go together: an attacker spoils one edge.

    What edges send was released to them, so the cloud costs nothing more. Noise belongs into the
    edges: a client changes its edge's mean by less than replacing it, which is what noise in the
    cloud would be accounted for.

    Args:
        edges: the clients of each edge, by its name or its place.
        edge_rounds: rounds in each edge for one in the cloud.
        cloud: over the edges; its clients are the edges.

    Guarantees:
        - With ``edge_rounds=1`` and means in both places it is `FedAvg`.

    >>> HierFAVG({"north": [0, 1], "south": [2]}).edge_rounds
    1
    """

    edges: Mapping[str, Sequence[Party]] | Sequence[Sequence[Party]]
    edge_rounds: int = 1
    cloud: Pipeline = Pipeline()  # noqa: RUF009

    def __post_init__(self) -> None:
        """Refuse empty edges, a client in two, and a cloud that trains."""
        super().__post_init__()
        require_count("edge_rounds", self.edge_rounds, least=1)
        require(bool(self.edges), "edges must hold at least one edge", "none")
        empty = [edge for edge, clients in self.by_name.items() if not clients]
        require(not empty, "Every edge has at least one client", empty)
        everybody = [client for clients in self.by_name.values() for client in clients]
        twice = sorted({str(c) for c in everybody if everybody.count(c) > 1})
        require(not twice, "A client is in one edge", twice)

    @property
    def by_name(self) -> Mapping[str, Sequence[Party]]:
        """The clients of each edge, by its name."""
        if isinstance(self.edges, Mapping):
            return self.edges
        return {f"edge {k}": clients for k, clients in enumerate(self.edges)}

    @property
    def one_sum(self) -> bool:
        """A sum for every edge."""
        return False

    @property
    def sums_a_round(self) -> int:
        """One for each round of an edge."""
        return self.edge_rounds

    def smallest_sum(self, clients: Sequence[Party]) -> int:
        """Return the size of the smallest edge."""
        del clients
        return min(map(len, self.by_name.values()))

    def check(self, line: Line, local: Trainer, sampling: Sampling, layout: Layout) -> None:
        """Refuse a cloud that trains, adds noise, weighs, or cannot open."""
        del line, local, sampling, layout
        cloud, contract = self.cloud, self.cloud.contract
        if cloud.trainer is not None:
            reason = f"edges send what was trained, and {cloud.trainer!r} trains"
            refuse("R33", (self, cloud.trainer), reason, "Put it into the federation's pipeline")
        if contract.claims_privacy:
            noise = contract.author("noise")
            reason = f"{noise!r} over edges is accounted for one edge's mean, not for one client"
            refuse("R2", (self, noise), reason, "Put the noise into the federation's pipeline")
        if contract.weighting != "uniform":
            weigh = contract.author("weighting")
            reason = f"edges count by their clients, and {weigh!r} weighs by examples"
            refuse("R33", (self, weigh), reason, "Keep it inside of the edges")
        if contract.opener == "clients":
            reason = f"the next model is made in the cloud, and under {cloud.protocol!r} edges open"
            refuse("R9", (self, cloud.protocol), reason, "Publish it")

    def start(self, model: nn.Module, clients: Sequence[Party]) -> State:
        """Start from the model's weights, if every client has an edge."""
        placed = {client for group in self.by_name.values() for client in group}
        lost = [client for client in clients if client not in placed]
        strangers = [client for client in placed if client not in clients]
        require(not lost, "Every client is in an edge", f"none for {lost}")
        require(not strangers, f"Edges hold clients among {list(clients)}", strangers)
        both = [edge for edge in self.by_name if edge in clients]
        require(not both, "An edge has a name that no client has", both)
        return super().start(model, clients)

    def round(self, state: State, members: Sequence[Party], exchange: Exchange) -> State:
        """Let each edge run its rounds, and average the edges."""
        models, sizes = dict[Party, State](), dict[Party, int]()
        for edge, clients in self.by_name.items():
            who = [member for member in members if member in clients]
            if who:
                models[edge], sizes[edge] = self._edge(edge, who, state, exchange)
        models = {edge: model for edge, model in models.items() if sizes[edge]}
        if not models:
            return exchange.moved(state, exchange((), exchange.local, model=state))
        release = exchange(
            tuple(models),
            Train(lambda edge, model, generator: Trained(models[edge])),
            model=state,
            # at most 1: a clip in the cloud is one of a whole edge's move, and not of its multiple
            weights=tuple(sizes[edge] / max(sizes.values()) for edge in models),
            scalars=(),
            pipeline=self.cloud,
            key="cloud",
            made_of=(),
        )
        return exchange.moved(state, release)

    def _edge(
        self, edge: Party, members: Sequence[Party], model: State, exchange: Exchange
    ) -> tuple[State, int]:
        """Run the rounds of one edge: -> its model, and how many clients it stands for.

        That is how many the fullest round counts, and all that were asked where a claim divides by
        them (rule R3).
        """
        counted = len(members) if exchange.pipeline.contract.claims_privacy else 0
        for _ in range(self.edge_rounds):
            release = exchange(members, exchange.local, model=model, key=f"edge {edge}")
            model, counted = exchange.moved(model, release), max(counted, len(release.survivors))
        return model, counted
