"""The hardened exchanges of a round: charge, train, protect, release."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from privfl.averager import model_hash, moved
from privfl.charging import Charging
from privfl.core import Budget, Cohort, Party, Scalar, hash_of
from privfl.core import State as Kept
from privfl.crypto import Stream
from privfl.history import Sums
from privfl.learning import Train
from privfl.learning._algorithm import State, weights_of
from privfl.learning._together_sgd import TogetherSGD
from privfl.machines import Machines
from privfl.parts import Data, Loss, Trained, Trainer
from privfl.pipeline import Pipeline, public_of, round_of
from privfl.rounds import Opening, Release, on_device_of
from privfl.updates import NOBODY, Updates, UpdatesTogether, fresh_worker, mean_loss

if TYPE_CHECKING:
    from privfl.federation import Federation


class Exchange:
    """Run the exchanges of one round: clients train from a model when the protocol asks them.

    Every exchange is charged before any client is asked.

    Attributes:
        number: the round, counted from 0.
        releases: what was published, in order.
        traffic: bytes up and down, by party.
        counted: the clients whose data is in some release.
        charging: to the ledger or the history.
        machines: the clients' own, in simulated time.
    """

    def __init__(
        self,
        federation: "Federation",
        number: int,
        drop: Mapping[Party, str],
        budget: Budget | None,
    ) -> None:
        """Stand in for round ``number``; ``drop`` loses clients from a stage on."""
        self.federation, self.number, self.drop = federation, number, drop
        self.pipeline, self.layout = federation.pipeline, federation.layout
        self.trainer, self.loss, self.fleet = federation.local, federation.loss, federation.fleet
        self.stream = federation.stream.child(f"round/{number}")
        self.local = self.trained_by(self.trainer)
        self.releases: list[Release] = []
        self.traffic: dict[Party, tuple[int, int]] = defaultdict(lambda: (0, 0))
        self.counted = set[Party]()
        self.charging = Charging(federation, budget)
        self.machines = Machines(federation, self.stream)

    def trained_by(
        self, trainer: Trainer, *, loss: Loss | None = None, data: Data | None = None
    ) -> Train:
        """Return training by another trainer or loss, or on other data than the client's own."""

        def run(client: Party, model: nn.Module, generator: Stream) -> Trained:
            examples = self.data_of(client) if data is None else data
            n, share = len(examples[1]), self.machines.share(client)
            worker = trainer if share == 1 else trainer.partly(share, n)
            self.machines.work(client, worker.n_steps(n))
            return worker.train(model, examples, self.loss if loss is None else loss, generator)

        return Train(run, trainer.reports)

    def trained(self, client: Party, train: Train, model: State) -> State:
        """Let a client train from ``model`` by itself: nothing leaves it, nothing is charged."""
        if not self.machines.share(client):
            return model
        stream = self.stream.child(f"alone/{client}/{len(self.releases)}")
        return weights_of(train(client, fresh_worker(self.federation, model), stream).model)

    def data_of(self, client: Party) -> Data:
        """Return a client's data, for what the client itself does with it."""
        return self.federation.datasets[client]

    def loss_of(self, client: Party, model: nn.Module) -> float:
        """Return the mean loss of ``model`` on a client's data, for the client's own use."""
        return mean_loss(model, self.data_of(client), self.loss)

    def steps_of(self, client: Party) -> int:
        """Return how many steps a client's whole work has."""
        return self.trainer.n_steps(len(self.data_of(client)[1]))

    def __call__(
        self,
        members: Sequence[Party],
        train: Train,
        *,
        model: State,
        bases: Mapping[Party, State] | None = None,
        weights: Sequence[float] | None = None,
        owners: Tensor | None = None,
        scalars: tuple[Scalar, ...] | None = None,
        pipeline: Pipeline | None = None,
        key: str = "main",
        made_of: Sequence[Party] | None = None,
        ends: float | None = None,
    ) -> Release:
        """Let ``members`` train and return the aggregate of their updates."""
        federation, pipeline = self.federation, pipeline or self.pipeline
        state, stream = federation.pipeline_states.get(key), self._next_stream()
        asked, lost = members, self.machines.lost(members)
        if len(lost) == len(members) and pipeline.contract.sees == "each":
            members = ()  # nobody is left to wait for: a release of nothing
        cohort = self._cohort(members, weights, owners, asked)
        start, declared = self.layout.flatten(model), self._declared(train, pipeline, scalars)
        head = self._bound_to(start, bases)
        opening = self._opening(pipeline, cohort, declared, head, state, stream)
        sources = asked if made_of is None else made_of
        free = made_of is not None and not made_of  # all that is sent was released before
        reserved = None if free else self.charging.release(opening, pipeline, sources)
        begins = self.machines.meet(asked)
        updates = self._updates(members, train, pipeline, declared, model, bases or {}, stream)
        release = pipeline.run(
            opening,
            federation.adversary.corrupted(updates, cohort.members),
            state=state,
            drop=self._dropped(members, lost, pipeline),
            generator=stream.child("noise"),
            rogues=federation.adversary.rogues(pipeline, cohort.members),
        )
        federation.pipeline_states[key] = release.state
        survivors = tuple(who for who in release.survivors if who not in NOBODY)
        release = replace(on_device_of(release, start), survivors=survivors)
        over = self.machines.done(asked, lost, begins) if ends is None else ends
        self.machines.end(asked, over)
        self._note(release, asked)
        self.counted |= set(survivors if made_of is None else made_of)
        if reserved is not None:
            reserved.bind(update=release.digest)
        return release

    @property
    def sums(self) -> Sums:
        """What all exchanges of the round come to."""
        return Sums.of(self.releases, self.counted, self.traffic, self.machines.now)

    def moved(self, model: State, release: Release) -> State:
        """Return ``model`` plus the release, running statistics included."""
        return cast("State", moved(self.layout, model, release))

    def losses_of(self, candidates: Sequence[Party]) -> list[float]:
        """Ask candidates for the loss of what they use, in clear: charged as it is (rule R15)."""
        self.charging.spend(dict.fromkeys(candidates, ()), "the losses by which clients are chosen")
        return [self.loss_of(who, self.federation.model_of(who)) for who in candidates]

    def _next_stream(self) -> Stream:
        """Return randomness of an exchange's own; the first one's is the round's."""
        k = len(self.releases)
        return self.stream.child(f"exchange/{k}") if k else self.stream

    def _dropped(
        self, members: Sequence[Party], lost: Collection[Party], pipeline: Pipeline
    ) -> dict[Party, str]:
        """Return who is gone, and from which stage on: a lost one does not upload."""
        gone = {**self.drop, **dict.fromkeys(lost, pipeline.protocol.uploads_in)}
        return {who: stage for who, stage in gone.items() if who in members}

    def _note(self, release: Release, members: Sequence[Party]) -> None:
        """Write down a release and its bytes."""
        self.releases.append(release)
        for who in members:
            up, down = self.traffic[who]
            self.traffic[who] = (up + release.bytes_up, down + release.bytes_down)

    def _opening(
        self,
        pipeline: Pipeline,
        cohort: Cohort,
        declared: tuple[Scalar, ...],
        head: bytes,
        state: Kept,
        stream: Stream,
    ) -> Opening:
        return Opening.fresh(
            pipeline,
            cohort,
            self.layout.dim,
            statistics=self.layout.statistics_dim,
            scalars=declared,
            round=round_of(state),
            model=head,
            nonce=stream.child("nonce").bytes(16) if stream.seeded else None,
            public=public_of(state),
        )

    def _cohort(
        self,
        members: Sequence[Party],
        weights: Sequence[float] | None,
        owners: Tensor | None,
        asked: Sequence[Party],
    ) -> Cohort:
        if not members:  # a claim divides by the public number all the same (rule R3)
            return Cohort(NOBODY, expected=self.federation.expected or float(len(asked)) or None)
        public = None if weights is None else tuple(weights)
        expected = self.federation.expected if weights is None and owners is None else None
        return Cohort(tuple(members), public, owners, expected)

    def _bound_to(self, start: Tensor, bases: Mapping[Party, State] | None) -> bytes:
        """Hash what a client is sure that the others were sent (rule R20)."""
        binding = self.federation.algorithm.model_binding
        if binding == "none":
            return b""
        head = model_hash(self.layout, start)
        if binding == "same":
            return head
        versions = {
            model_hash(self.layout, self.layout.flatten(base)) for base in (bases or {}).values()
        }
        return hash_of((head, tuple(sorted(versions))))

    def _updates(
        self,
        members: Sequence[Party],
        train: Train,
        pipeline: Pipeline,
        declared: Sequence[Scalar],
        model: State,
        bases: Mapping[Party, State],
        stream: Stream,
    ) -> Updates:
        whole = all(self.machines.share(who) in (0, 1) for who in members)
        if members and train is self.local and isinstance(self.trainer, TogetherSGD) and whole:
            return UpdatesTogether(self, pipeline, members, model, stream)
        own = (scalar.name for scalar in pipeline.scalars)
        names = (*(scalar.name for scalar in declared), *own)
        return Updates(self, pipeline, names, train, model, bases, stream)

    def _declared(
        self, train: Train, pipeline: Pipeline, scalars: tuple[Scalar, ...] | None
    ) -> tuple[Scalar, ...]:
        """Return what is asked for, is reported, and no part declares itself."""
        asked = self.federation.algorithm.scalars if scalars is None else scalars
        known = set(train.reports) - {scalar.name for scalar in pipeline.scalars}
        return tuple(scalar for scalar in asked if scalar.name in known)
