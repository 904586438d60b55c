"""Fair federated averaging."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from privfl.core import Layout, Party, Scalar, require, require_positive
from privfl.crypto import Stream
from privfl.learning._algorithm import (
    Exchange,
    OneModel,
    State,
    Train,
    refuse,
    refuse_a_rule,
    weights_of,
)
from privfl.parts import Trained, Trainer
from privfl.rounds import Line
from privfl.sampling import Sampling


@dataclass(frozen=True)
class QFedAvg(OneModel):
    """Count clients with a large loss for more (Li et al. 2020, q-FedAvg).

    https://arxiv.org/abs/1905.10497, algorithm 2: with ``F`` a client's loss of the common weights
    before it trains, ``Delta`` its update and ``L = 1 / lr``,

        ``w + sum(L F^q Delta) / sum(q F^(q-1) ||L Delta||^2 + L F^q)``.

    A client forms both summands itself, here divided by ``L``, so that the second is ``F^q`` plus a
    term; the first is its update and the second the scalar ``h``. Both are sums, so it runs under
    whatever shows sums only, and the client half clips and noises both.

    Args:
        q: 0 counts clients alike; larger is fairer.
        lr: the inverse of ``L``: the local learning rate where a client takes one step. With many
            steps its update is as much longer, and so may ``lr`` be, or rounds step too short.
        h_bound: public cap on ``h``; larger values are cut, which makes a step longer.
        h_share: how much of the clip norm ``h`` uses under noise (rule R7).
        h_least: public floor of the mean of ``h``, so that noise cannot turn or blow up a step.

    Guarantees:
        - ``q = 0`` is the uniform `FedAvg`, up to rounding.

    >>> QFedAvg(q=1.0, lr=0.1).scalars
    (Scalar(name='h', bound=64.0, share=1.0),)
    """

    q: float = 1.0
    lr: float = 0.1
    h_bound: float = 64.0
    h_share: float = 1.0
    h_least: float = 1e-3

    def __post_init__(self) -> None:
        """Refuse a fairness below none, and bounds that bound nothing."""
        if self.q != 0:
            require_positive("q", self.q)
        for name in ("lr", "h_bound", "h_share", "h_least"):
            require_positive(name, getattr(self, name))
        wanted = f"h_bound must be at least h_least = {self.h_least}"
        require(self.h_bound >= self.h_least, wanted, self.h_bound)

    @property
    def scalars(self) -> tuple[Scalar, ...]:
        """The client's summand of the denominator."""
        return (Scalar("h", self.h_bound, self.h_share),)

    def check(self, line: Line, local: Trainer, sampling: Sampling, layout: Layout) -> None:
        """Take means only, and no training whose claim the loss would pass by."""
        del sampling
        reason = f"{self!r} divides a sum by a sum, and {line.aggregator!r} takes no sums"
        refuse_a_rule(self, line, reason, "Use Mean()")
        if line.contract.weighting != "uniform":
            weigh = line.contract.author("weighting")
            reason = f"{weigh!r} weighs by example counts, and {self!r} by losses"
            refuse("R33", (self, weigh), reason, "Keep one")
        if line.contract.support == "private":
            part = line.contract.author("support")
            reason = f"{part!r} sends what it left out in a later round, when h has changed"
            refuse("R33", (self, part), reason, "Use RandomK(…)")
        if local.hides_records:
            reason = f"{self!r} sends powers of a loss that {local!r} does not protect"
            refuse("R7", (self, local), reason, "Use FedAvg(), or noise in the pipeline")
        if layout.statistics_dim:
            reason = f"{self!r} scales updates, and running statistics are none"
            fix = "Use Layout.of(model, statistics='local'), or replace BatchNorm by GroupNorm"
            refuse("R1", (self, "running statistics"), reason, fix)

    def round(self, state: State, members: Sequence[Party], exchange: Exchange) -> State:
        """Sum both, and step by their quotient."""
        local = exchange.local

        def run(client: Party, model: nn.Module, generator: Stream) -> Trained:
            loss, start = exchange.loss_of(client, model), weights_of(model)
            trained = weights_of(local(client, model, generator).model)
            return self._summands(loss, start, trained)

        release = exchange(members, Train(run, ("h",)), model=state)
        h = max(release.scalars["h"], self.h_least)
        return exchange.moved(state, replace(release, update=release.update / h))

    def _summands(self, loss: float, start: State, trained: State) -> Trained:
        at = torch.tensor(loss, dtype=torch.float64)
        by = float(at**self.q)  # as a tensor: too large a power is infinite, and no error
        moves = {name: trained[name] - value for name, value in start.items()}
        floats = [move.double() for move in moves.values() if move.is_floating_point()]
        length = sum(float(torch.sum(move * move)) for move in floats)
        # who does not move adds nothing, also where its loss is 0 and the slope infinite
        slope = self.q * float(at ** (self.q - 1)) if self.q and length else 0.0
        sent = {
            name: start[name] + by * move if move.is_floating_point() else start[name]
            for name, move in moves.items()
        }
        return Trained(sent, {"h": by + slope * length / self.lr})
