"""A client's turn: what it agrees to, and what the app trained as a vector."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from flwr.app import MetricRecord, RecordDict
from torch import Tensor

from privfl.core import Account, ProtocolAbort
from privfl.flower._arrays import Arrays
from privfl.flower._letters import Ask
from privfl.flower._metrics import metrics_in, scalars_of
from privfl.flower._policy import Policy
from privfl.flower._refusal import Reason, Refusal
from privfl.pipeline import Pipeline
from privfl.rounds import Setting


@dataclass
class Turn:
    """Stand between the app and `privfl.rounds.respond`.

    Attributes:
        ask: the server's.
        sent: the model that came with it, in the stage that asks for the update.
        own: this client's own pipeline.
        policy: what it agrees to besides.
        account: charged before the app's work leaves.
        seeded: noise comes from a replay seed.
        run: lets the app train or evaluate, and returns what it answered.
    """

    ask: Ask
    sent: Arrays | None
    own: Pipeline
    policy: Policy | None
    account: Account | None
    seeded: bool
    run: Callable[[], RecordDict]
    setting: Setting | None = field(default=None, init=False)

    def admit(self, setting: Setting) -> None:
        """Refuse a round outside of the policy, and remember it."""
        if self.policy is not None:
            self.policy.require_numbers(setting, self.own)
        self.setting = setting

    def update(self) -> tuple[Tensor, Mapping[str, float]]:
        """Charge, let the app work, and return its vector and scalars."""
        if self.setting is None or self.sent is None:
            raise ProtocolAbort("A letter that asks for an update without a model")
        self._charge(self.setting)
        content = self.run()
        metrics = metrics_in(content)
        self._refuse_idle_weights(metrics, self.setting)
        scalars = scalars_of(metrics, self.ask.weighted_by, self.setting)
        if self.ask.kind == "evaluate":  # metrics alone: the vector's body is one zero
            return torch.zeros(self.setting.opening.body), scalars
        return _difference(self.sent, content), scalars

    def _charge(self, setting: Setting) -> None:
        if self.account is None:
            return
        account, budget = self.account, self.policy.budget if self.policy else None
        if budget is not None:
            account = account.within(budget)  # type: ignore[attr-defined]
        pipeline: Pipeline = setting.line  # type: ignore[assignment]
        pipeline.reserve(setting.opening, account, (self.ask.me,), seeded=self.seeded)

    def _refuse_idle_weights(self, metrics: MetricRecord, setting: Setting) -> None:
        """Refuse example counts that the strategy would weigh by, and the pipeline does not."""
        key, line = self.ask.weighted_by, setting.line
        if key not in metrics or line.contract.weighting != "uniform":
            return
        if "uniform_weights" not in line.accepting:
            raise Refusal(
                Reason.WEIGHTS,
                f"The strategy weighs replies by {key!r}, and {line!r} gives each client the same "
                "weight",
            )


def _difference(sent: Arrays, content: RecordDict) -> Tensor:
    if len(content.array_records) != 1:
        found = f"{len(content.array_records)} ArrayRecords"
        raise Refusal(Reason.FAILED, f"The app answers with one model. Found {found}")
    trained = Arrays.of(content)
    update = sent.layout.flatten(trained.arrays).sub_(sent.vector)  # type: ignore[arg-type]
    if not sent.layout.statistics_dim:
        return update
    statistics = sent.layout.flatten_statistics(trained.arrays) - sent.statistics  # type: ignore[arg-type]
    return torch.cat([update, statistics])
