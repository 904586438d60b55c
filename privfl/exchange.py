"""One hardened exchange of a federation: charge, train, protect, release."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from privfl.averager import model_hash, moved
from privfl.core import Budget, Charge, Cohort, Party, Reservation, Scalar, weights_hash
from privfl.crypto import Stream
from privfl.learning import TogetherSGD, Train
from privfl.learning._algorithm import State
from privfl.parts import Trained
from privfl.pipeline import public_of
from privfl.rounds import Opening, Release, Setting, on_device_of
from privfl.sampling import amplified
from privfl.updates import Updates, UpdatesTogether

if TYPE_CHECKING:
    from privfl.federation import Federation

NOBODY = ("nobody",)  # stands in for an empty cohort: a round without members is a release too


class Exchange:
    """Run the exchanges of one round: clients train from a model when the protocol asks them.

    Every exchange is charged before any client is asked.
    """

    def __init__(
        self,
        federation: "Federation",
        number: int,
        members: Sequence[Party],
        drop: Mapping[Party, str],
        budget: Budget | None,
    ) -> None:
        """Stand in for round ``number`` with these members."""
        self.federation, self.number, self.drop = federation, number, drop
        self.members, self.budget = members, budget
        self.stream = federation.stream.child(f"round/{number}")
        self.local: Train = self._train
        self.reserved: list[Reservation] = []
        self.release: Release

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
        """Let ``members`` train from ``model`` and return the aggregate of their updates."""
        federation = self.federation
        start = federation.layout.flatten(model)
        cohort = self._cohort(members, weights, owners)
        opening = self._opening(cohort, start)
        self._charge(opening, members)
        release = federation.pipeline.run(
            opening,
            federation.adversary.corrupted(self._updates(members, train, model), cohort.members),
            state=federation.pipeline_state,
            drop=self.drop,
            generator=self.stream.child("noise"),
            rogues=federation.adversary.rogues(federation.pipeline, cohort.members),
        )
        federation.pipeline_state = release.state
        survivors = tuple(who for who in release.survivors if who in federation.datasets)
        self.release = replace(on_device_of(release, start), survivors=survivors)
        self._bind(update=self.release.digest)
        return self.release

    def moved(self, model: State, release: Release) -> State:
        """Return ``model`` plus the release, running statistics included."""
        return cast("State", moved(self.federation.layout, model, release))

    def bind_model(self, weights: State) -> None:
        """Write down the model that this round ended with."""
        self._bind(model=weights_hash(weights))

    def charges(self, opening: Opening, members: Sequence[Party]) -> dict[Party, list[Charge]]:
        """Return what a release is charged, by client: see `privfl.sampling.amplified`."""
        federation = self.federation
        plan, n = Setting(federation.pipeline, opening).plan, len(federation.members)
        in_and_out = [
            amplified(plan.charges, federation.sampling, n, member=member)
            for member in (False, True)
        ]
        out: dict[Party, list[Charge]] = {}
        for who, data in federation.datasets.items():
            if who in members:
                out[who] = [*in_and_out[True], *federation.local.charges(len(data[1]))]
            elif in_and_out[False]:
                out[who] = [*in_and_out[False]]
        return out

    def _charge(self, opening: Opening, members: Sequence[Party]) -> None:
        federation = self.federation
        charges = self.charges(opening, members)
        if federation.ledger is None:
            federation.history.spend(charges, self.budget)
        else:
            account = federation.ledger
            if self.budget is not None:
                account = account.within(self.budget)
            seeded = self.stream.seeded
            self.reserved.append(account.reserve(charges, pipeline=self._words, seeded=seeded))
            federation.history.spend(charges)

    @property
    def _words(self) -> str:
        """The repr of what protects: the pipeline, and a training beside it that does."""
        federation = self.federation
        beside = federation.local.hides_records and federation.pipeline.trainer is None
        return (
            f"{federation.local!r}, {federation.pipeline!r}"
            if beside
            else repr(federation.pipeline)
        )

    def _bind(self, **hashes: bytes) -> None:
        if self.reserved:
            self.reserved[-1].bind(**hashes)

    def _cohort(
        self, members: Sequence[Party], weights: Sequence[float] | None, owners: Tensor | None
    ) -> Cohort:
        public = None if weights is None else tuple(weights)
        expected = self.federation.expected if weights is None and owners is None else None
        return Cohort(tuple(members) or NOBODY, public, owners, expected)

    def _opening(self, cohort: Cohort, start: Tensor) -> Opening:
        federation = self.federation
        return Opening.fresh(
            federation.pipeline,
            cohort,
            federation.layout.dim,
            statistics=federation.layout.statistics_dim,
            scalars=self._scalars(),
            round=self.number,
            model=model_hash(federation.layout, start),
            nonce=self.stream.child("nonce").bytes(16) if self.stream.seeded else None,
            public=public_of(federation.pipeline_state),
        )

    def _updates(self, members: Sequence[Party], train: Train, model: State) -> "Updates":
        names = [scalar.name for scalar in self._scalars()]
        if members and train is self.local and isinstance(self.federation.local, TogetherSGD):
            return UpdatesTogether(self.federation, members, model, self.stream)
        return Updates(self.federation, names, train, model, self.stream)

    def _scalars(self) -> tuple[Scalar, ...]:
        """Return what the algorithm asks for, the trainer reports and no part declares itself."""
        own = {scalar.name for scalar in self.federation.pipeline.scalars}
        known = set(self.federation.local.reports) - own
        return tuple(s for s in self.federation.algorithm.scalars if s.name in known)
