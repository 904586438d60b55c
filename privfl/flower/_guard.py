"""The server's side of a guarded Flower app."""

import logging
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from privfl.core import Account, CompositionError, Registry, Scalar, require_account
from privfl.crypto import Stream
from privfl.flower._guarded_grid import GuardedGrid
from privfl.flower._guarded_rounds import GuardedRounds
from privfl.flower._linear import require_linear
from privfl.flower._round_report import RoundReport
from privfl.flower._served import require_served
from privfl.pipeline import Pipeline

logger = logging.getLogger("flwr")


def guard(
    strategy: Strategy,
    shield: Pipeline,
    *,
    ledger: Account | None = None,
    registry: Registry | None = None,
    train_metrics: Sequence[Scalar] = (),
    evaluate_metrics: Sequence[Scalar] = (),
    checkpoint: str | PathLike[str] | None = None,
    generator: Stream | None = None,
) -> "Guarded":
    """Return ``strategy`` behind a pipeline: ``guard(FedAvg(), shield).start(grid=grid, …)``.

    The strategy chooses nodes and writes messages as ever. The guard runs the pipeline's protocol
    with them, and hands the strategy one reply: the model plus the aggregate. Who does not answer
    in time, or answers by an error, has dropped out.

    Clients' metrics travel in the tail of the same vector, so only those that are declared do, with
    their bounds (rule R7); under noise they are noised. An evaluation is a release of its own (rule
    R15): it takes the same pipeline, over declared metrics alone, and is charged; without
    ``evaluate_metrics`` clients are not asked.

    Args:
        strategy: one that is linear in the replies: FedAvg, FedAvgM, FedAdam, FedYogi, FedAdagrad,
            FedProx, or a class that says ``takes_one_aggregate = True``.
        shield: the pipeline, the same as the clients'.
        ledger: charged before a round's first letter leaves. When its budget is spent later rounds
            get no replies, and ``start`` returns what there is.
        registry: the public keys of the clients. With it clients go by their names in it.
        train_metrics: those of the train function's metrics that travel.
        evaluate_metrics: those of the evaluate function's.
        checkpoint: a file for the model, the pipeline's state and the ledger's head after each
            round; where it is there, `Guarded.start` goes on from it. What the strategy itself
            remembers (momentum) is not in it.
        generator: replays nonces and noise, and marks what is charged as not private (rule R28).

    Raises:
        CompositionError: for a strategy that needs each reply, a pipeline whose clients keep the
            result (rule R9), or one that trains.
        ValueError: for a protocol that signs, without a registry; a checkpoint of another pipeline.
        LedgerTampered: for a ledger that does not hold the head of the checkpoint.
    """
    require_linear(strategy)
    require_served(shield, registry)
    if shield.contract.opener != "server":
        raise CompositionError(
            "R9",
            (shield.protocol, strategy),
            f"Under {shield.protocol!r} the clients open the sum, and {type(strategy).__name__} "
            "steps on the server, which gets nothing",
            "Let the clients publish the mean: CKKS(published=…) or BFV(published=True)",
        )
    rounds = GuardedRounds(
        shield,
        None if ledger is None else require_account(ledger),
        registry,
        {"train": tuple(train_metrics), "evaluate": tuple(evaluate_metrics)},
        getattr(strategy, "weighted_by_key", ""),
        generator or Stream(),
        checkpoint,
    )
    return Guarded(strategy, rounds)


class Guarded(Strategy):
    """Delegate to a strategy, and let it see aggregates only. `guard` makes it.

    Attributes:
        strategy: the user's.
        rounds: does the work.
    """

    def __init__(self, strategy: Strategy, rounds: GuardedRounds) -> None:
        """Stand in front of ``strategy``."""
        self.strategy, self.rounds = strategy, rounds

    @property
    def history(self) -> list[RoundReport]:
        """Who took part in each round, and what came of it."""
        return self.rounds.history

    @property
    def n_rounds(self) -> int:
        """How many training rounds had an aggregate, those before a checkpoint included."""
        return self.rounds.n_rounds

    def start(self, grid: Grid, initial_arrays: ArrayRecord, *args: Any, **options: Any) -> Result:
        """Run the strategy's loop over the guarded grid; arguments are those of Flower's ``start``.

        A run that stops with a checkpoint goes on from it: ``initial_arrays`` is then not used.

        Raises:
            CompositionError: where all clients refuse for the weights' sake.
            ProtocolAbort: where all clients refuse from the first round on.
        """
        arrays = self.rounds.resumed(initial_arrays)
        result = super().start(GuardedGrid(grid, self.rounds), arrays, *args, **options)
        if not result.arrays:  # Flower leaves it empty where no round had an aggregate
            result.arrays = arrays
        return result

    def summary(self) -> None:
        """Say what guards the strategy, then let it say what it is."""
        logger.info("\t├──> privfl: %r", self.rounds.shield)
        self.strategy.summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Let the strategy choose nodes, unless a budget is spent."""
        if self.rounds.spent:
            return []
        return self.strategy.configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Let the strategy step by the one aggregate reply."""
        arrays, metrics = self.strategy.aggregate_train(server_round, replies)
        return None if arrays is None else self.rounds.stepped(arrays), metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Let the strategy choose nodes, where there are metrics that may travel."""
        if not self.rounds.evaluates(arrays):
            return []
        return self.strategy.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Let the strategy read the one reply."""
        return self.strategy.aggregate_evaluate(server_round, replies)
