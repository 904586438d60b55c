"""The guard's rounds: a strategy's messages in, one aggregate reply out."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid

from privfl.core import (
    Account,
    BudgetExceeded,
    Cohort,
    CompositionError,
    Party,
    ProtocolAbort,
    Registry,
    Reservation,
    Scalar,
    State,
    weights_hash,
)
from privfl.crypto import Stream
from privfl.flower._arrays import Arrays
from privfl.flower._asked import Asked
from privfl.flower._checkpoint import Saved, read_rounds, write_rounds
from privfl.flower._delivery import Delivery
from privfl.flower._letters import Ask, Kind
from privfl.flower._metrics import metrics_of
from privfl.flower._names import Names
from privfl.flower._refusal import Reason, Refusal
from privfl.flower._round_report import RoundReport
from privfl.pipeline import Pipeline, public_of, round_of
from privfl.rounds import Opening, Release, Round, drive, on_device_of

logger = logging.getLogger("flwr")

SLACK = 1 << 16  # bytes beyond twice the plan: what a reply says of those who left


class GuardedRounds:
    """Run rounds of a pipeline with the nodes that a strategy writes to.

    Attributes:
        shield: the pipeline.
        history: a report of each round.
        release: of the last round that had one.
        spent: whether a budget is; then no round is run any more.
    """

    def __init__(
        self,
        shield: Pipeline,
        ledger: Account | None,
        registry: Registry | None,
        metrics: Mapping[Kind, tuple[Scalar, ...]],
        weighted_by: str,
        stream: Stream,
        checkpoint: str | PathLike[str] | None,
    ) -> None:
        """Stand before the first round."""
        self.shield, self.ledger, self.registry = shield, ledger, registry
        self.metrics, self.weighted_by, self.stream = metrics, weighted_by, stream
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.names = Names(registry)
        self.history: list[RoundReport] = []
        self.release: Release | None = None
        self.spent = False
        self._saved = self._found(checkpoint)
        self._states: dict[Kind, State] = self._saved.states if self._saved else {}
        self._openings = Counter[tuple[Kind, int]]()
        self._evaluated = b""
        self._model: Arrays | None = None
        self._reserved: Reservation | None = None

    def run(self, messages: Sequence[Message], grid: Grid, timeout: float | None) -> list[Message]:
        """Return the aggregate as one reply; no reply where there is none.

        Raises:
            CompositionError: for messages that no round is made of, or idle weights.
            PlanError: where the cohort or the model does not fit a part.
            ProtocolAbort: where everybody refuses from the first round on.
        """
        if not messages:
            return []
        asked = Asked.of(messages, self.shield)
        members, rejected = self.names.of(messages, grid, timeout), dict[Party, str]()
        try:
            release = self._release(asked, members, grid, timeout, rejected)
        except (BudgetExceeded, Refusal, ProtocolAbort) as error:
            n = len(messages)
            self.history.append(RoundReport(asked.kind, n, rejected=rejected, aborted=str(error)))
            self._go_on_without(error)
            return []
        logger.info("privfl: %s, %s", asked.kind, release)
        return [self._reply(asked, release)]

    def evaluates(self, arrays: ArrayRecord) -> bool:
        """Tell whether clients may be asked about ``arrays``: once, where metrics may travel."""
        if self.spent:
            return False
        if not self.metrics["evaluate"]:
            logger.info("privfl: clients evaluate where evaluate_metrics= says what may travel")
            return False
        return Arrays("arrays", arrays).hash != self._evaluated

    def stepped(self, arrays: ArrayRecord) -> ArrayRecord:
        """Return the strategy's new model with the dtypes of the last one, and save it."""
        if self._model is not None:
            arrays = self._model.in_these_dtypes(arrays)
        if self._reserved is None and self.checkpoint is None:
            return arrays
        model = Arrays("arrays", arrays)
        if self._reserved is not None:
            self._reserved.bind(model=weights_hash(model.tensors))
        if self.checkpoint is not None:
            write_rounds(self.checkpoint, self.shield, model, self._states, self.ledger)
        return arrays

    def resumed(self, initial: ArrayRecord) -> ArrayRecord:
        """Return the model to start from: the checkpoint's, where there was one.

        Raises:
            ValueError: for a checkpoint of another model.
        """
        if self._saved is None:
            return initial
        logger.info("privfl: goes on from %s, after %d rounds", self.checkpoint, self.n_rounds)
        return self._saved.arrays(Arrays("arrays", initial))

    @property
    def n_rounds(self) -> int:
        """How many training rounds had an aggregate, those before a checkpoint included."""
        return round_of(self._states.get("train"))

    def _found(self, checkpoint: str | PathLike[str] | None) -> Saved | None:
        if checkpoint is None or not Path(checkpoint).exists():
            return None
        return read_rounds(Path(checkpoint), self.shield, self.ledger)

    def _release(
        self,
        asked: Asked,
        members: Mapping[Party, Message],
        grid: Grid,
        timeout: float | None,
        rejected: dict[Party, str],
    ) -> Release:
        if not members:
            raise ProtocolAbort("No node said who it is")
        state = self._states.get(asked.kind)
        opening = self._opening(asked, tuple(members), state)
        first = Round.open(self.shield, opening, state, self.stream, self.registry)
        self._reserved = None
        if self.ledger is not None:
            self._reserved = self.shield.reserve(opening, self.ledger, seeded=self.stream.seeded)
        text = repr(self.shield)
        delivery = Delivery(
            grid,
            members,
            self.shield.protocol.uploads_in,
            lambda who, letter: Ask(asked.kind, who, text, self.weighted_by, letter),
            timeout,
            largest=2 * first.setting.plan.bytes_up + SLACK,
            rejected=rejected,
        )
        release = on_device_of(drive(first, delivery), asked.model.vector)
        if self._reserved is not None:
            self._reserved.bind(update=release.digest)
        self._states[asked.kind] = release.state
        self.history.append(RoundReport.of(asked.kind, len(asked.messages), release, rejected))
        return release

    def _opening(self, asked: Asked, members: tuple[Party, ...], state: State) -> Opening:
        number, trains, layout = round_of(state), asked.kind == "train", asked.model.layout
        again = self._openings[asked.kind, number]
        self._openings[asked.kind, number] += 1
        nonce = self.stream.child(f"{asked.kind}/{number}/nonce" + (f"/{again}" if again else ""))
        return Opening.fresh(
            self.shield,
            Cohort(members),
            layout.dim if trains else 1,  # metrics ride behind a body, here of one zero
            statistics=layout.statistics_dim if trains else 0,
            scalars=self.metrics[asked.kind],
            round=number,
            model=asked.model.hash,
            nonce=nonce.bytes(16) if self.stream.seeded else None,
            public=public_of(state),
        )

    def _reply(self, asked: Asked, release: Release) -> Message:
        """Return one reply for all: the model plus the aggregate, and the mean metrics."""
        names = tuple(scalar.name for scalar in self.metrics[asked.kind])
        metrics = metrics_of(release, self.shield, names)
        if self.weighted_by:
            metrics[self.weighted_by] = float(len(release.survivors))
        content = RecordDict({"metrics": MetricRecord({**metrics})})
        if asked.kind == "train":
            content[asked.model.name] = asked.model.moved(release)
            self._model, self.release = asked.model, release
        else:
            self._evaluated = asked.model.hash
        return Message(content, reply_to=asked.messages[0])

    def _go_on_without(self, why: Exception) -> None:
        """Go on without an aggregate, or end the run where no later round would have one."""
        match why:
            case BudgetExceeded() | Refusal(code=Reason.SPENT):
                logger.warning("privfl: a budget is spent, and the run ends here. %s", why)
                self.spent = True
            case Refusal(code=Reason.WEIGHTS):
                fix = (
                    "Add Weigh(max_examples=…) before the protocol, or accept it: "
                    "accepting={'uniform_weights'}"
                )
                raise CompositionError("R2", (self.shield,), str(why), fix)
            case Refusal() if all(report.aborted for report in self.history):
                raise ProtocolAbort(f"Every client refuses. {why}")
            case _:
                logger.warning("privfl: the round has no aggregate. %s", why)
