"""Training on everybody's data in one place."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from privfl.core import Layout, Party
from privfl.learning._algorithm import Exchange, OneModel, State, refuse
from privfl.learning._reports_loss import ReportsLoss
from privfl.parts import Trainer
from privfl.rounds import Line
from privfl.sampling import Sampling

POOL = "pool"


@dataclass(frozen=True)
class Centralised(ReportsLoss[State], OneModel):
    """Train on the pooled data: what federated learning is measured against from above.

    A round is one training on all that its members have. Nothing is protected, so nothing that
    protects is taken, and every member is charged for an undefended release.

    >>> Centralised().one_sum
    True
    """

    def check(self, line: Line, local: Trainer, sampling: Sampling, layout: Layout) -> None:
        """Refuse every defence: the data itself is handed over."""
        del sampling, layout
        found = [part for part in (*line.parts, local) if part is not local or local.hides_records]
        if found:
            reason = f"{self!r} pools the data, and {found[0]!r} has nothing left to protect"
            refuse("R33", (self, found[0]), reason, "Use Pipeline() with it")

    def round(self, state: State, members: Sequence[Party], exchange: Exchange) -> State:
        """Train from the common weights on the members' data."""
        if not members:
            return exchange.moved(state, exchange((), exchange.local, model=state))
        pairs = [exchange.data_of(who) for who in members]
        pooled = torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs])
        train = exchange.trained_by(exchange.trainer, data=pooled)
        return exchange.moved(state, exchange((POOL,), train, model=state, made_of=members))
