"""Networks of different widths that share what they have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from privfl.core import Layout, Party, require
from privfl.crypto import Stream
from privfl.learning._algorithm import (
    Exchange,
    OneModel,
    State,
    Train,
    refuse,
    refuse_private_support,
    weights_of,
)
from privfl.learning._masked_loss import masked
from privfl.learning._reports_loss import ReportsLoss
from privfl.learning._widths import narrowed, owned, require_nested, widened
from privfl.parts import Trained, Trainer
from privfl.rounds import Line, Release
from privfl.sampling import Sampling

Shapes = Mapping[str, torch.Size]


@dataclass(frozen=True)
class HeteroFL(ReportsLoss[State], OneModel):
    """Let each client train a network as wide as its machine bears (Diao et al. 2021).

    https://arxiv.org/abs/2010.01264: a client of width ``r`` trains the leading block of every
    tensor, and each coordinate is averaged over the clients that own it. Widths are public, so the
    owners of a coordinate are a public count: sums hide single updates, and central noise is added
    to the sum and divided with it. A rule that compares updates compares those of one width, and
    the widths' results are averaged by their counts.

    The network brings `Scaler` behind its hidden layers, and `static_batch_norm` for its
    BatchNorms.

    Args:
        make: ``make(width)`` returns the network; ``make(1.0)`` is like the federation's model.
        widths: of each client, by name; who is not named has width 1.
        mask_labels: leave the classes that a client never sees out of its loss, see `masked`.

    Guarantees:
        - With all widths 1 it is `FedAvg` on the same loss.
        - A coordinate that nobody owns does not move.

    >>> HeteroFL(lambda width: nn.Linear(4, int(8 * width)), {"phone": 0.5}).width("phone")
    0.5
    """

    make: Callable[[float], nn.Module] = field(repr=False)
    widths: Mapping[Party, float]
    mask_labels: bool = True

    def __post_init__(self) -> None:
        """Refuse a width that is none."""
        super().__post_init__()
        good = all(0 < width <= 1 for width in self.widths.values())
        require(good, "Widths are above 0 and at most 1", dict(self.widths))

    @property
    def one_sum(self) -> bool:
        """Not where a rule compares within each width."""
        return False

    def width(self, client: Party) -> float:
        """Return the width of a client's network."""
        return self.widths.get(client, 1.0)

    def check(self, line: Line, local: Trainer, sampling: Sampling, layout: Layout) -> None:
        """Refuse positions that depend on data, statistics of widths, and labels under a claim."""
        del sampling
        refuse_private_support(self, line)
        if line.contract.weighting != "uniform":
            weigh = line.contract.author("weighting")
            reason = (
                f"{type(self).__name__} divides by public counts of owners, {weigh!r} by others"
            )
            refuse("R2", (self, weigh), reason, "Drop it")
        if layout.statistics_dim:
            reason = f"{type(self).__name__} cannot average running statistics of different widths"
            fix = "Build the network with static_batch_norm(…)"
            refuse("R1", (self, "running statistics"), reason, fix)
        if local.hides_records and self.mask_labels:
            reason = f"which labels a client masks depends on single records, beside {local!r}"
            refuse("R2", (self, local), reason, "Say mask_labels=False")

    def start(self, model: nn.Module, clients: Sequence[Party]) -> State:
        """Start from the model's weights, if every width is cut from them."""
        weights = weights_of(model)
        strangers = [who for who in self.widths if who not in clients]
        require(not strangers, f"widths name clients among {list(clients)}", strangers)
        for width in {1.0, *map(self.width, clients)}:
            require_nested(weights, weights_of(self._network(width)), width)
        return weights

    def round(self, state: State, members: Sequence[Party], exchange: Exchange) -> State:
        """Let everybody train its block, and average each coordinate over its owners."""
        networks = {width: self._network(width) for width in map(self.width, members)}
        shapes = {width: _shapes(network) for width, network in networks.items()}
        train = self._train(exchange, networks, shapes)
        owners = {width: owned(exchange.layout, state, shape) for width, shape in shapes.items()}
        if exchange.pipeline.aggregator.linear or not members:
            rows = [owners[self.width(who)] for who in members]
            mask = torch.stack(rows) if rows else None
            return exchange.moved(state, exchange(members, train, model=state, owners=mask))
        cohorts = {width: [who for who in members if self.width(who) == width] for width in owners}
        for who in cohorts.values():  # each is large enough, before anybody trains
            exchange.pipeline.plan(n_clients=len(who), dim=exchange.layout.dim)
        releases = {
            width: exchange(who, train, model=state, key=f"width {width:g}")
            for width, who in cohorts.items()
        }
        claims = exchange.pipeline.contract.claims_privacy  # then counts are public ones (rule R3)
        heads = {
            width: len(cohorts[width] if claims else release.survivors)
            for width, release in releases.items()
        }
        return exchange.moved(state, _by_owner(releases, owners, heads))

    def _train(
        self,
        exchange: Exchange,
        networks: Mapping[float, nn.Module],
        shapes: Mapping[float, Shapes],
    ) -> Train:
        def run(client: Party, model: nn.Module, generator: Stream) -> Trained:
            width, wide = self.width(client), weights_of(model)
            narrow = networks[width].to(next(model.parameters()).device)
            narrow.load_state_dict(dict(narrowed(wide, shapes[width])))
            narrow.zero_grad()  # of the client before
            loss = exchange.loss
            if self.mask_labels:
                loss = masked(loss, exchange.data_of(client)[1])
            local = exchange.trained_by(exchange.trainer, loss=loss)
            trained = local(client, narrow, generator)
            return Trained(widened(weights_of(trained.model), wide), trained.scalars)

        return Train(run, exchange.local.reports)

    def weights_of(self, state: State, client: Party) -> State:
        """Return the block that a client has."""
        return narrowed(state, _shapes(self._network(self.width(client))))

    def network_of(self, client: Party, model: nn.Module) -> nn.Module:
        """Return a network of a client's width."""
        return self._network(self.width(client)).to(next(model.parameters()).device)

    def _network(self, width: float) -> nn.Module:
        with torch.random.fork_rng(devices=[]):  # its first weights are not used
            return self.make(width)


def _shapes(network: nn.Module) -> Shapes:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def _by_owner(
    releases: Mapping[float, Release], owners: Mapping[float, Tensor], heads: Mapping[float, int]
) -> Release:
    """Average the widths' results, each coordinate over those who own it: a release again."""
    first = next(iter(releases.values()))
    total, counted = torch.zeros_like(first.update), torch.zeros_like(first.update)
    for width, release in releases.items():
        weight = heads[width] * owners[width].to(total)
        total, counted = total + weight * release.update, counted + weight
    return replace(first, update=total / counted.clamp(min=1))
