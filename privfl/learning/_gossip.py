"""Learning without a centre."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from torch import Tensor, nn

from privfl.core import Layout, Party, require
from privfl.learning._algorithm import (
    Algorithm,
    Binding,
    Exchange,
    State,
    Train,
    refuse,
    refuse_a_rule,
    weights_of,
)
from privfl.learning._mixing import Matrix, doubly_stochastic
from privfl.learning._states import combined
from privfl.parts import Trained, Trainer
from privfl.pipeline import Pipeline
from privfl.rounds import Line
from privfl.sampling import Everybody, Sampling


class Nodes(TypedDict):
    """Hold the model that everybody began with, and each node's own."""

    start: State
    models: Mapping[Party, State]


@dataclass(frozen=True)
class Gossip(Algorithm[Nodes]):
    """Average with one's neighbours, and step by one's own gradient (D-PSGD).

    Lian et al. 2017 (https://arxiv.org/abs/1705.09056), algorithm 1: node ``i`` goes to
    ``sum_j W_ij x_j + Delta_i``, where ``Delta_i`` is what local training from ``x_i`` adds and
    ``W`` a doubly stochastic matrix over the clients in their order: `ring`, `complete`,
    `metropolis`. The common weights are the mean of all nodes.

    Each node is the server of an exchange among its neighbours. A message is a model, not an
    update, so that what fits a centre does not fit here:

    - A clip behind `Plain` is self-centred clipping, the robust rule of this room (He et al. 2022,
      https://arxiv.org/abs/2202.01545): ``x_i + sum_j W_ij clip(x_j - x_i)``. Other rules are
      refused.
    - Masks hide among the neighbours of one node: two hide each other, one hides nothing. What
      clients clip or mask is the way from the first model.
    - Local noise is added to a node's own step and so enters the state; noise on messages would
      be drawn anew each time, and averages out. Messages are made of releases then, and free.

    Nobody makes sure that neighbours were sent the same (rule R20).

    Guarantees:
        - The mean of all nodes is that of `FedAvg` steps, whatever the graph.
        - Without steps, the distance to the mean falls by `contraction` at least, every round.

    >>> from privfl.learning import ring
    >>> len(Gossip(ring(5)).mixing)
    5
    """

    mixing: Matrix | Tensor | Sequence[Sequence[float]]

    def __post_init__(self) -> None:
        """Keep the matrix as numbers; refuse one that mixes nothing."""
        matrix = doubly_stochastic(self.mixing)
        linked = any(w for i, row in enumerate(matrix) for j, w in enumerate(row) if i != j)
        require(linked, "The mixing matrix must link some nodes", "none")
        object.__setattr__(self, "mixing", matrix)

    @property
    def model_binding(self) -> Binding:
        """Every node has a model of its own."""
        return "none"

    @property
    def keeps_partial_work(self) -> bool:
        """A node goes on from what it has got done."""
        return True

    @property
    def one_sum(self) -> bool:
        """A sum for every node."""
        return False

    def smallest_sum(self, clients: Sequence[Party]) -> int:
        """Return the fewest neighbours of a node, and at least 1."""
        del clients
        return max(1, min(map(_degree, self.mixing)))

    def check(self, line: Line, local: Trainer, sampling: Sampling, layout: Layout) -> None:
        """Refuse what needs a centre."""
        del local, layout
        if type(sampling) is not Everybody:
            reason = f"every node of {self.name} takes part, and {sampling!r} draws"
            refuse("R33", (self, sampling), reason, "Leave sampling= out")
        contract, protocol, rule = line.contract, line.protocol, line.aggregator
        reason = f"{rule!r} compares updates, and nodes of {self.name} send models"
        refuse_a_rule(self, line, reason, "Put Clip(…) behind Plain(): it clips around one's own")
        if contract.weighting != "uniform":
            weigh = contract.author("weighting")
            reason = f"{weigh!r} weighs by example counts, and {self.name} by its matrix"
            refuse("R33", (self, weigh), reason, "Keep one")
        if protocol.shares_key:
            reason = f"under {protocol!r} a node and one neighbour could read all others"
            refuse("R33", (self, protocol), reason, "Use SecAgg()")
        if contract.sees != "each" and min(map(_degree, self.mixing)) < 2:
            reason = (
                f"a node of {self.name} has one neighbour, and {protocol!r} sums it with nobody"
            )
            refuse("R16", (self, protocol), reason, "Link every node to two others")
        if contract.noise in ("central", "shares"):
            noise = contract.author("noise")
            reason = f"{noise!r} is for a sum at a centre, and {self.name} has none"
            refuse("R33", (self, noise), reason, "Use LocalGaussianNoise(…)")
        if contract.noise == "local" and contract.rows != "each":
            noise = contract.author("noise")
            reason = f"{noise!r} enters a node's own state, and {protocol!r} sums those of others"
            refuse("R33", (noise, protocol), reason, "Keep one")

    @property
    def name(self) -> str:
        """How it is called where its matrix would be too long."""
        return type(self).__name__

    def start(self, model: nn.Module, clients: Sequence[Party]) -> Nodes:
        """Let every node begin with the same weights."""
        wanted = f"The mixing matrix must have a row for each of {len(clients)} clients"
        require(len(self.mixing) == len(clients), wanted, len(self.mixing))
        weights = weights_of(model)
        return {"start": weights, "models": dict.fromkeys(clients, weights)}

    def round(self, state: Nodes, members: Sequence[Party], exchange: Exchange) -> Nodes:
        """Let every node average with its neighbours, and add its own step."""
        old = state["models"]
        stepped = {who: self._stepped(who, old[who], exchange) for who in members}
        mixed = {who: self._mixed(who, state, exchange) for who in members}
        new = {
            who: combined([(1.0, mixed[who]), (1.0, stepped[who]), (-1.0, old[who])])
            for who in members
        }
        return {**state, "models": new}

    def _stepped(self, who: Party, own: State, exchange: Exchange) -> State:
        """Train from one's own model; a private step is a release of its own."""
        if exchange.pipeline.contract.noise == "local":
            release = exchange((who,), exchange.local, model=own, key=f"step {who}")
            return exchange.moved(own, release)
        if exchange.trainer.hides_records:
            bare, key = Pipeline(), f"step {who}"
            release = exchange((who,), exchange.local, model=own, pipeline=bare, key=key)
            return exchange.moved(own, release)
        return exchange.trained(who, exchange.local, own)

    def _mixed(self, who: Party, state: Nodes, exchange: Exchange) -> State:
        """Average one's own model with what the neighbours send."""
        own, row = state["models"][who], self._row(who, state)
        counts = {peer: w for peer, w in row.items() if w > 0 and peer != who}
        if not counts:
            return own
        noised = exchange.pipeline.contract.noise == "local"
        released = noised or exchange.trainer.hides_records
        shield = Pipeline() if noised else exchange.pipeline
        base = own if _sees_models(shield) else state["start"]
        release = exchange(
            tuple(counts),
            Train(lambda peer, model, generator: Trained(state["models"][peer])),
            model=base,
            weights=tuple(w / max(counts.values()) for w in counts.values()),  # a clip clips at C
            scalars=(),
            pipeline=shield,
            key=f"node {who}",
            made_of=() if released else None,
        )
        if not release.survivors:
            return own
        received = exchange.moved(base, release)
        return combined([(row[who], own), (1 - row[who], received)])

    def _row(self, who: Party, state: Nodes) -> Mapping[Party, float]:
        nodes = list(state["models"])
        return dict(zip(nodes, self.mixing[nodes.index(who)], strict=True))

    def model(self, state: Nodes) -> State:
        """Return the mean of all nodes' models."""
        models = list(state["models"].values())
        return combined([(1 / len(models), model) for model in models])

    def with_model(self, state: Nodes, weights: State) -> Nodes:
        """Give every node the same weights."""
        return {**state, "models": dict.fromkeys(state["models"], weights)}

    def weights_of(self, state: Nodes, client: Party) -> State:
        """Return a node's own model."""
        return state["models"][client]


def _degree(row: Sequence[float]) -> int:
    """Count whom a node listens to, itself too where it does, less one."""
    return sum(weight > 0 for weight in row) - 1


def _sees_models(line: Line) -> bool:
    """Tell whether a node gets each neighbour's whole model, so that it can take differences."""
    return line.contract.sees == "each" and not line.client_half
