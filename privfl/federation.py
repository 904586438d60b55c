"""Federated training in this process: clients, a pipeline, and a loop that the user owns."""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any, Required, Self, TypedDict, Unpack

import torch
from torch import nn

from privfl.averager import require_fit
from privfl.checkpoint import read_checkpoint, write_checkpoint
from privfl.composition import refuse_contradictions
from privfl.core import (
    Budget,
    BudgetExceeded,
    Layout,
    Party,
    require,
    require_account,
    require_count,
    require_small_delta,
)
from privfl.core import State as Kept
from privfl.crypto import Stream
from privfl.datasets import Dataset, by_client
from privfl.exchange import Exchange
from privfl.explain import Explanation
from privfl.history import History, Record
from privfl.learning import Algorithm, FedAvg, Fleet, LocalSGD, as_trainer
from privfl.learning._as_trainer import TrainFunction
from privfl.ledger._account import Account
from privfl.parts import Data, Loss, Trainer
from privfl.pipeline import Pipeline
from privfl.rounds import Line, Release, without_keys
from privfl.rounds._in_process import UpdateOf
from privfl.sampling import Everybody, Sampling

BINDINGS = {
    "same": "Where clients sign, they are sure that others were sent the same model, trap or not.",
    "chain": "Where clients sign, they are sure of the log's head and of the versions in a buffer.",
    "none": "Nobody makes sure of what model others were sent: inconsistent ones are not stopped.",
}


class Adversary:
    """Stand between some clients and the pipeline. This one does nothing.

    `privfl.evaluate` has the one that poisons.
    """

    def poisoned(self, datasets: Mapping[Party, Data]) -> Mapping[Party, Data]:
        """Return the data that clients train on."""
        return datasets

    def corrupted(self, update_of: UpdateOf, members: Sequence[Party]) -> UpdateOf:
        """Return what clients send instead of ``update_of``."""
        del members
        return update_of

    def rogues(self, pipeline: Pipeline, members: Sequence[Party]) -> Mapping[Party, Line]:
        """Return the pipelines of those who do not run the agreed one."""
        del pipeline, members
        return {}


@dataclass(frozen=True)
class FederatedRound:
    """Hand one round to the loop that asked for it.

    Attributes:
        number: counted from 0.
        release: what the round published last.
        releases: all that it published, where an algorithm makes several sums.
        metrics: mean of each scalar, such as ``loss``.
        clock: simulated seconds since the federation began, see `privfl.learning.Fleet`.
        model: the model that is trained, with the weights after this round.
        record: the row of ``federation.history``.
    """

    number: int
    release: Release = field(repr=False)
    releases: tuple[Release, ...] = field(repr=False)
    metrics: Mapping[str, float]
    clock: float
    model: nn.Module = field(repr=False)
    record: Record = field(repr=False)


class Federation:
    """Train a model over clients' datasets, each round through the whole pipeline.

    ``model`` is trained in place. ``rounds`` is a generator, so that the loop stays yours. With a
    ``generator`` a run can be repeated to the bit, and its noise is no protection (rule R28).

    Args:
        model: in training mode.
        datasets: one for each client, or a mapping from names; each a torch Dataset or a pair of
            tensors ``(x, y)``.
        pipeline: what is between a client's update and the release.
        loss: ``(outputs, y) -> mean loss``.
        algorithm: what is shared and how the server steps, see `privfl.learning`.
        local: a Trainer, or any ``(model, data, generator) -> model``; a Trainer that stands first
            in the pipeline goes before it.
        sampling: who takes part in a round, see `privfl.sampling`; None: everybody.
        fleet: how fast and reliable the clients' machines are, in simulated time.
        layout: where not everything trains, see `Layout.of`; None: what the algorithm shares.
        ledger: where every release is charged before it is made: ``ledger.dataset(name)``, or
            ``ledger.datasets({client: name})`` where clients' data are disjoint.
        generator: None for the operating system's randomness.
        delta: at which ``history`` states epsilon.

    Raises:
        ValueError: for no clients, an empty dataset, a model in eval mode.
        CompositionError: where model, pipeline, training and sampling do not fit.

    Guarantees:
        - What a round costs is in the ledger before any client is asked.
        - A run that goes on from a checkpoint is charged for every round it makes, again too.

    >>> from privfl.data import mnist_sample
    >>> x, y = mnist_sample().train
    >>> parts = [(x[k::10], y[k::10]) for k in range(10)]
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    >>> federation = Federation(model, parts, Pipeline(), loss=nn.functional.cross_entropy)
    >>> for round in federation.rounds(2):
    ...     print(round.number, round.release)
    0 10 of 10
    1 10 of 10
    """

    def __init__(
        self,
        model: nn.Module,
        datasets: Mapping[Party, Dataset] | Sequence[Dataset],
        pipeline: Pipeline,
        *,
        loss: Loss,
        algorithm: Algorithm[Any] | None = None,
        local: Trainer | TrainFunction | None = None,
        sampling: Sampling | None = None,
        fleet: Fleet | None = None,
        layout: Layout | None = None,
        ledger: Account | None = None,
        generator: Stream | torch.Generator | int | None = None,
        adversary: Adversary | None = None,
        delta: float = 1e-5,
    ) -> None:
        """Read the datasets and check that model, pipeline and training fit."""
        require(model.training, "A model is trained in training mode", "eval", "Call model.train()")
        self.model, self.pipeline, self.loss = model, pipeline, loss
        self.algorithm = FedAvg() if algorithm is None else algorithm
        self.local = as_trainer(pipeline.trainer or local or LocalSGD())
        self.sampling = Everybody() if sampling is None else sampling
        wanted, fix = "sampling= takes one of privfl.sampling", "Say Poisson(rate=0.1)"
        require(isinstance(self.sampling, Sampling), wanted, repr(sampling), fix)
        wanted, fix = (
            "algorithm= takes one of privfl.learning",
            "Subclass privfl.learning.Algorithm",
        )
        require(isinstance(self.algorithm, Algorithm), wanted, repr(algorithm), fix)
        self.fleet, self.has_fleet = fleet or Fleet(), fleet is not None
        self.layout = self.algorithm.layout(model) if layout is None else layout
        require_fit(pipeline, self.layout)
        self.adversary = adversary or Adversary()
        self.datasets = self.adversary.poisoned(by_client(datasets))
        self.ledger = None if ledger is None else require_account(ledger)
        for who in self.datasets if self.ledger is not None else ():
            self.ledger.name_of(who)  # type: ignore[union-attr]  # refuses a client without one
        require_small_delta(delta, len(self.datasets), "clients")
        self.history = History(delta, self.ledger)
        self.stream = Stream.of(generator)
        self.worker = copy.deepcopy(model)  # keeps the modes in which the model was handed over
        self.modes = [module.training for module in self.worker.modules()]
        self.clock, self.pipeline_states = 0.0, dict[str, Kept]()
        refuse_contradictions(self)
        self._state = self.algorithm.start(model, self.members)

    @property
    def members(self) -> tuple[Party, ...]:
        """Names of the clients."""
        return tuple(self.datasets)

    @property
    def expected(self) -> float | None:
        """How many clients a round is expected to have, where that is left to chance."""
        return self.sampling.expected(len(self.members)) if self.sampling.size_varies else None

    def rounds(self, n: int, budget: Budget | None = None) -> Iterator[FederatedRound]:
        """Run ``n`` rounds, one for each step of your loop.

        Args:
            n: how many.
            budget: stop before the round that would pass it. With a ledger, all that the ledger
                holds counts; without, what this federation did.

        Raises:
            BudgetExceeded: where a budget of the ledger account is spent, and none was given here.
        """
        require_count("n", n, least=1)
        fix = "Say Budget(epsilon=8, delta=1e-5)"
        require(isinstance(budget, Budget | None), "budget= takes a Budget", repr(budget), fix)
        for _ in range(n):
            try:
                done = self._round({}, budget)
            except BudgetExceeded:
                if budget is None:
                    raise
                return
            yield done

    def round(self, *, drop: Mapping[Party, str] | None = None) -> FederatedRound:
        """Run one round; ``drop`` loses clients from a stage of the protocol on."""
        strangers = [who for who in drop or {} if who not in self.members]
        require(not strangers, f"drop names clients among {self.members}", strangers)
        return self._round(drop or {}, None)

    def explain(self, *, rounds: int = 1) -> Explanation:
        """Say what a round is as `Pipeline.explain` does, for the smallest sum of the algorithm.

        Epsilon is that of a client in every sum it can be in.
        """
        algorithm, sampling = self.algorithm, self.sampling if self.algorithm.one_sum else None
        said = self.pipeline.explain(
            n_clients=algorithm.smallest_sum(self.members),
            model=self.layout,
            rounds=rounds * algorithm.sums_a_round,
            delta=self.history.delta,
            sampling=sampling,
        )
        return replace(said, notes=(*said.notes, BINDINGS[algorithm.model_binding]))

    def save(self, path: str | PathLike[str]) -> None:
        """Write weights, states and the ledger's head to a file, for `resume`.

        No data, and no secret: keys that clients share are made anew by who goes on.
        """
        seeded = self.stream.key_of_replay if self.stream.seeded else None
        write_checkpoint(
            path,
            {
                "pipeline": repr(self.pipeline),
                "layout": self.layout.hash,
                "members": self.members,
                "model": dict(self.model.state_dict()),
                "algorithm": self._state,
                "states": {key: without_keys(state) for key, state in self.pipeline_states.items()},
                "clock": self.clock,
                "history": self.history.to_state(),
                "replay": seeded,
                "head": None if self.ledger is None else self.ledger.ledger.head,
            },
        )

    @classmethod
    def resume(
        cls,
        path: str | PathLike[str],
        model: nn.Module,
        datasets: Mapping[Party, Dataset] | Sequence[Dataset],
        pipeline: Pipeline,
        **options: Unpack["Options"],
    ) -> Self:
        """Go on from what `save` wrote, with the same model class, data and pipeline.

        Rounds that were made after the checkpoint stay charged, and making them again is charged
        too: a checkpoint cannot rewind a ledger.

        Args:
            path: of the checkpoint.
            model: of the same layout; its weights are replaced.
            datasets: of the same clients.
            pipeline: the same.
            options: as of the constructor.

        Raises:
            ValueError: for a file, model, clients or pipeline that do not fit, or a missing ledger.
            LedgerTampered: for a ledger that does not hold the head of the checkpoint.
        """
        kept = read_checkpoint(path)
        federation = cls(model, datasets, pipeline, **options)
        federation._require_same(kept)
        federation._go_on_from(kept, replayed="generator" not in options)
        return federation

    def _round(self, drop: Mapping[Party, str], budget: Budget | None) -> FederatedRound:
        start, number = time.perf_counter(), len(self.history)
        exchange = Exchange(self, number, drop, budget)
        members = self._drawn(exchange)
        self._state = self.algorithm.round(self._state, members, exchange)
        weights = dict(self.algorithm.model(self._state))
        self.model.load_state_dict(weights)
        exchange.charging.bind_model(weights)
        self.clock = exchange.machines.now
        record = self.history.add(exchange.sums, seconds=time.perf_counter() - start)
        return FederatedRound(
            number=record.round,
            release=exchange.releases[-1],
            releases=tuple(exchange.releases),
            metrics=exchange.sums.scalars,
            clock=self.clock,
            model=self.model,
            record=record,
        )

    def model_of(self, client: Party) -> nn.Module:
        """Return a copy of the model that a client uses: its own, where something is personal."""
        require(client in self.datasets, f"Clients are {self.members}", client)
        network = self.algorithm.network_of(client, self.model)
        network.load_state_dict(dict(self.algorithm.weights_of(self._state, client)))
        return network

    def _drawn(self, exchange: Exchange) -> tuple[Party, ...]:
        """Draw the cohort of one round; a shuffled pass goes over several rounds."""
        n = len(self.members)
        passes, place = divmod(exchange.number, self.sampling.steps_of(n))
        draws = self.sampling.draws(n, place + 1, self.stream.child(f"sampling/{passes}"))
        drawn = list(draws)[-1]
        if self.sampling.by_loss:
            candidates = [self.members[k] for k in drawn.tolist()]
            drawn = self.sampling.chosen(drawn, exchange.losses_of(candidates))
        return tuple(self.members[k] for k in drawn.tolist())

    def _require_same(self, kept: Mapping[str, Any]) -> None:
        found = {"pipeline": repr(self.pipeline), "members": self.members}
        for what, value in found.items():
            wanted = f"The {what} must be the checkpoint's, {kept[what]}"
            require(kept[what] == value, wanted, value)
        same = kept["layout"] == self.layout.hash
        require(same, "The model must have the checkpoint's layout", "another one")
        charged = kept["head"] is not None
        fix = "Pass ledger="
        require(not charged or self.ledger is not None, "The run keeps a ledger", "none", fix)

    def _go_on_from(self, kept: Mapping[str, Any], *, replayed: bool) -> None:
        if kept["head"] is not None and self.ledger is not None:
            self.ledger.ledger.verify(anchor=kept["head"])
        if kept["replay"] is not None and replayed:
            self.stream = Stream(kept["replay"], seeded=True)
        self.model.load_state_dict(dict(kept["model"]))
        self._state, self.clock = kept["algorithm"], kept["clock"]
        self.pipeline_states = dict(kept["states"])
        self.history.load_state(kept["history"])


class Options(TypedDict, total=False):
    """Name what `Federation` takes besides model, data and pipeline."""

    loss: Required[Loss]
    algorithm: Algorithm[Any] | None
    local: Trainer | TrainFunction | None
    sampling: Sampling | None
    fleet: Fleet | None
    layout: Layout | None
    ledger: Account | None
    generator: Stream | torch.Generator | int | None
    adversary: Adversary | None
    delta: float
