"""Federated training in this process: clients, a pipeline, and a loop that the user owns."""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from privfl.averager import model_hash, moved, require_fit
from privfl.core import Cohort, Layout, Party, Scalar, require, require_count
from privfl.core import State as Kept
from privfl.crypto import Stream
from privfl.history import History, Record
from privfl.learning import Algorithm, FedAvg, LocalSGD, TogetherSGD, Train, as_trainer
from privfl.learning._algorithm import State
from privfl.learning._as_trainer import TrainFunction
from privfl.parts import Data, Loss, Trained, Trainer
from privfl.parts._weigh import COUNT
from privfl.pipeline import Pipeline, public_of
from privfl.rounds import Line, Opening, Release, Setting, on_device_of
from privfl.rounds._in_process import UpdateOf

Dataset = Data | torch.utils.data.Dataset[tuple[Tensor, Tensor]]


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
        release: what the round published.
        metrics: mean of each scalar, such as ``loss``.
        model: the model that is trained, with the weights after this round.
        record: the row of ``federation.history``.
    """

    number: int
    release: Release = field(repr=False)
    metrics: Mapping[str, float]
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
        algorithm: what is shared and how the server steps.
        local: a Trainer, or any ``(model, data, generator) -> model``; a Trainer that stands first
            in the pipeline goes before it.
        layout: where not everything trains, see `Layout.of`.
        generator: None for the operating system's randomness.
        delta: at which ``history`` states epsilon.

    Raises:
        ValueError: for no clients, an empty dataset, a model in eval mode.
        CompositionError: where model and pipeline do not fit.

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
        algorithm: "Algorithm[State] | None" = None,
        local: Trainer | TrainFunction | None = None,
        layout: Layout | None = None,
        generator: Stream | torch.Generator | None = None,
        adversary: Adversary | None = None,
        delta: float = 1e-5,
    ) -> None:
        """Read the datasets and check that model and pipeline fit."""
        require(model.training, "A model is trained in training mode", "eval", "Call model.train()")
        self.model, self.pipeline, self.loss = model, pipeline, loss
        self.algorithm = FedAvg() if algorithm is None else algorithm
        self.local = as_trainer(pipeline.trainer or local or LocalSGD())
        self.layout = Layout.of(model) if layout is None else layout
        require_fit(pipeline, self.layout)
        self.adversary = adversary or Adversary()
        self.datasets = self.adversary.poisoned(_named(datasets))
        self.history = History(delta)
        self._stream = Stream.of(generator)
        self._worker = copy.deepcopy(model)  # keeps the modes in which the model was handed over
        self._modes = [module.training for module in self._worker.modules()]
        self._state = self.algorithm.start(model)
        self._pipeline_state: Kept = None

    @property
    def members(self) -> tuple[Party, ...]:
        """Names of the clients."""
        return tuple(self.datasets)

    def rounds(self, n: int) -> Iterator[FederatedRound]:
        """Run ``n`` rounds, one for each step of your loop."""
        require_count("n", n, least=1)
        for _ in range(n):
            yield self.round()

    def round(self, *, drop: Mapping[Party, str] | None = None) -> FederatedRound:
        """Run one round; ``drop`` loses clients from a stage of the protocol on."""
        start = time.perf_counter()
        exchange = _Exchange(self, len(self.history), drop)
        self._state = self.algorithm.round(self._state, self.members, exchange)
        self.model.load_state_dict(dict(self.algorithm.model(self._state)))
        release = exchange.release
        record = self.history.add(release, exchange.charges, seconds=time.perf_counter() - start)
        return FederatedRound(record.round, release, release.scalars, self.model, record)


class _Exchange:
    """One round's exchange: clients train from a model when the protocol asks them."""

    def __init__(self, federation: Federation, number: int, drop: Mapping[Party, str] | None):
        self.federation, self.number, self.drop = federation, number, drop
        self.stream = federation._stream.child(f"round/{number}")
        self.local: Train = self._train

    def _train(self, client: Party, model: nn.Module, generator: Stream) -> Trained:
        federation = self.federation
        return federation.local.train(
            model, federation.datasets[client], federation.loss, generator
        )

    def __call__(
        self,
        members: Sequence[Party],
        train: Train,
        *,
        model: State,
        weights: Sequence[float] | None = None,
        owners: Tensor | None = None,
    ) -> Release:
        federation, layout = self.federation, self.federation.layout
        start = layout.flatten(model)
        cohort = Cohort(tuple(members), None if weights is None else tuple(weights), owners)
        opening = Opening.fresh(
            federation.pipeline,
            cohort,
            layout.dim,
            statistics=layout.statistics_dim,
            scalars=self._scalars(),
            round=self.number,
            model=model_hash(start),
            nonce=self.stream.child("nonce").bytes(16) if self.stream.seeded else None,
            public=public_of(federation._pipeline_state),
        )
        update_of = _Updates(federation, train, model, self.stream)
        if train is self.local and isinstance(federation.local, TogetherSGD):
            update_of = _UpdatesTogether(federation, members, model, self.stream)
        release = federation.pipeline.run(
            opening,
            federation.adversary.corrupted(update_of, cohort.members),
            state=federation._pipeline_state,
            drop=self.drop,
            generator=self.stream.child("noise"),
            rogues=federation.adversary.rogues(federation.pipeline, cohort.members),
        )
        federation._pipeline_state = release.state
        self.charges = Setting(federation.pipeline, opening).plan.charges
        self.release = on_device_of(release, start)
        return self.release

    def moved(self, model: State, release: Release) -> State:
        return cast("State", moved(self.federation.layout, model, release))

    def _scalars(self) -> tuple[Scalar, ...]:
        """Return what the algorithm asks for, the trainer reports and no part declares itself."""
        own = {scalar.name for scalar in self.federation.pipeline.scalars}
        known = set(self.federation.local.reports) - own
        return tuple(s for s in self.federation.algorithm.scalars if s.name in known)


class _Updates:
    """Train a client when its update is asked for, and flatten what it learned."""

    def __init__(self, federation: Federation, train: Train, model: State, stream: Stream) -> None:
        self.federation, self.train, self.model, self.stream = federation, train, model, stream

    def __call__(self, client: Party) -> tuple[Tensor, Mapping[str, float]]:
        trained = self.train(client, fresh_worker(self.federation, self.model), self._of(client))
        return self._sent(client, trained.model, trained.scalars)

    def _of(self, client: Party) -> Stream:
        return self.stream.child(f"client/{client}")

    def _sent(
        self, client: Party, trained: nn.Module | State, scalars: Mapping[str, float]
    ) -> tuple[Tensor, Mapping[str, float]]:
        layout = self.federation.layout
        update = layout.flatten(trained) - layout.flatten(self.model)
        statistics = layout.flatten_statistics(trained) - layout.flatten_statistics(self.model)
        counts = {COUNT: float(len(self.federation.datasets[client][1]))}
        return torch.cat([update, statistics]), {**counts, **scalars}


class _UpdatesTogether(_Updates):
    """Train all clients at once when the first update is asked for."""

    def __init__(
        self, federation: Federation, members: Sequence[Party], model: State, stream: Stream
    ) -> None:
        self.federation, self.model, self.stream = federation, model, stream
        self.members, self.sent = members, dict[Party, tuple[Tensor, Mapping[str, float]]]()

    def __call__(self, client: Party) -> tuple[Tensor, Mapping[str, float]]:
        if not self.sent:
            self._train_all()
        return self.sent[client]

    def _train_all(self) -> None:
        federation, local = self.federation, self.federation.local
        weights, losses = local.train_many(  # type: ignore[attr-defined]
            fresh_worker(federation, self.model),
            [federation.datasets[who] for who in self.members],
            federation.loss,
            [self._of(who) for who in self.members],
        )
        for who, trained, loss in zip(self.members, weights, losses, strict=True):
            self.sent[who] = self._sent(who, trained, {"loss": loss})


def fresh_worker(federation: Federation, model: State) -> nn.Module:
    """Return the one worker with the weights ``model``, in the modes of the user's model."""
    worker = federation._worker
    worker.load_state_dict(dict(model))
    for module, training in zip(worker.modules(), federation._modes, strict=True):
        module.training = training
    return worker


def _named(datasets: Mapping[Party, Dataset] | Sequence[Dataset]) -> dict[Party, Data]:
    if not isinstance(datasets, Mapping):
        datasets = dict(enumerate(datasets))
    require(len(datasets) > 0, "datasets must hold at least one client's data", "none")
    return {who: _pair(who, dataset) for who, dataset in datasets.items()}


def _stacked(who: Party, dataset: torch.utils.data.Dataset[tuple[Tensor, Tensor]]) -> Data:
    """Read a torch Dataset once, into two tensors."""
    items = [dataset[k] for k in range(len(dataset))]  # type: ignore[arg-type]
    require(bool(items), f"Client {who} must hold at least one example", "none")
    inputs, labels = ([torch.as_tensor(item[side]) for item in items] for side in (0, 1))
    return torch.stack(inputs), torch.stack(labels)


def _pair(who: Party, dataset: Dataset) -> Data:
    pair = dataset if isinstance(dataset, tuple | list) else _stacked(who, dataset)
    good = len(pair) == 2 and all(isinstance(part, Tensor) for part in pair)
    require(good, f"The dataset of client {who} is a Dataset or a pair of tensors", type(dataset))
    x, y = pair
    sizes = f"{len(x)} inputs and {len(y)} labels"
    require(len(x) == len(y) > 0, f"Client {who} must hold as many labels as inputs", sizes)
    return x, y
