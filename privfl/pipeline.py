"""The agreement that both sides run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from privfl.averager import Averager, require_fit
from privfl.calibration import drawn_cohort, noise_for
from privfl.core import (
    SERVER,
    Account,
    Budget,
    Cohort,
    CompositionError,
    Layout,
    Model,
    Party,
    Plan,
    Registry,
    Reservation,
    Scalar,
    State,
    Weights,
    require,
    require_account,
    require_count,
    require_matrix,
)
from privfl.crypto import Identity, Stream
from privfl.explain import Explanation, explain
from privfl.parts._weigh import COUNT
from privfl.rounds import (
    Line,
    Opening,
    Release,
    Setting,
    Wire,
    dropping,
    in_process,
    on_device_of,
    throwaway_keys,
)
from privfl.sampling import Everybody, Sampling, amplified
from privfl.views import Tape, Transcript


class Pipeline(Line):
    """State what clients and server do to an update, in order, and refuse contradictions.

    Reading order is the update's way from the client to whoever opens it; there it is undone in
    reverse. A missing protocol is `Plain()`, a missing aggregator `Mean()`. Where a part stands
    says who runs it: before the protocol the client, behind it the opener.

    Raises:
        CompositionError: where two parts contradict each other, with the rule, both parts, the fix.

    >>> import torch
    >>> from privfl import Pipeline
    >>> from privfl.defenses.dp import Clip
    >>> shield = Pipeline(Clip(1.0))
    >>> shield.aggregate(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).update
    tensor([0.3000, 0.4000])
    """

    def aggregate(
        self,
        updates: Tensor,
        *,
        n_examples: Sequence[float] | Tensor | None = None,
        scalars: Mapping[str | Scalar, Sequence[float] | Tensor] | None = None,
        cohort: Cohort | Sequence[Party] | None = None,
        state: State = None,
        round: int | None = None,
        drop: Mapping[Party, str] | None = None,
        generator: Stream | torch.Generator | None = None,
        nonce: bytes | None = None,
        ledger: Account | None = None,
        transcript: bool = False,
        statistics: Tensor | None = None,
        model: bytes = b"",
    ) -> Release:
        """Run one whole round, protocol included, over a matrix of updates.

        Args:
            updates: (n, d), one row a client.
            n_examples: (n,) example counts, for a pipeline with `Weigh`.
            scalars: (n,) values of each scalar, by name or by a declaration of their own.
            cohort: names, public weights or owned coordinates of the rows.
            state: ``release.state`` of the last round, for a pipeline that remembers.
            round: its number; None counts on from ``state``.
            drop: the stage from which a client is gone, by client.
            generator: None for secure noise; a generator repeats a run and marks it (R28).
            nonce: 16 bytes, to replay a round; None draws a fresh one.
            ledger: charged before anything leaves a client: ``ledger.dataset(name)``, or
                ``ledger.datasets({client: name})``.
            transcript: record the letters, for ``release.transcript.view(vantage)``.
            statistics: (n, s) running statistics, averaged apart.
            model: hash of the broadcast weights, bound into the session.

        Raises:
            ValueError: for updates of a wrong shape, missing scalars, an unknown stage.
            PlanError: where n or d does not fit a part.
            BudgetExceeded: where the account's budget is spent; then nothing was released.
            ProtocolAbort: where the round ends without a release.
        """
        self._refuse_trainer()
        require_matrix(updates)
        if round is not None:
            require_count("round", round)
        cohort = Cohort.of(len(updates) if cohort is None else cohort)
        wanted = f"cohort must name one client for each of {len(updates)} updates"
        require(len(cohort) == len(updates), wanted, f"{len(cohort)} names")
        if statistics is not None:
            fits = statistics.ndim == 2 and len(statistics) == len(updates)
            wanted = f"statistics must have shape ({len(updates)}, s)"
            require(fits, wanted, f"shape {tuple(statistics.shape)}")
        values, declared = self._values(n_examples, scalars or {}, len(updates))
        opening = Opening.fresh(
            self,
            cohort,
            updates.shape[1],
            statistics=0 if statistics is None else statistics.shape[1],
            scalars=declared,
            round=round_of(state) if round is None else round,
            model=model,
            nonce=nonce,
            public=public_of(state),
        )
        rows = updates if statistics is None else torch.cat([updates, statistics], dim=1)
        place = {who: k for k, who in enumerate(cohort.members)}

        def update_of(who: Party) -> tuple[Tensor, dict[str, float]]:
            k = place[who]
            return rows[k], {name: float(value[k]) for name, value in values.items()}

        stream = Stream.of(generator)
        charged = None if ledger is None else self.reserve(opening, ledger, seeded=stream.seeded)
        release = self.run(
            opening, update_of, state=state, drop=drop, generator=stream, transcript=transcript
        )
        release = on_device_of(release, updates)
        if charged is not None:
            charged.bind(update=release.digest)
        return release

    def reserve(
        self,
        opening: Opening,
        ledger: Account,
        members: Sequence[Party] | None = None,
        *,
        seeded: bool = False,
    ) -> Reservation:
        """Charge what the opened round will release, to ``members`` or to its whole cohort.

        Nobody's sampling is claimed: who takes part is known to the adversary.

        Raises:
            BudgetExceeded: where it does not fit; then nothing is written.
        """
        require_account(ledger)
        n = len(opening.cohort)
        charges = amplified(Setting(self, opening).plan.charges, Everybody(), n, member=True)
        who = opening.cohort.members if members is None else members
        return ledger.reserve(dict.fromkeys(who, charges), pipeline=repr(self), seeded=seeded)

    def run(
        self,
        opening: Opening,
        update_of: Callable[[Party], tuple[Tensor, Mapping[str, float]]],
        *,
        state: State = None,
        drop: Mapping[Party, str] | None = None,
        generator: Stream | torch.Generator | None = None,
        transcript: bool = False,
        rogues: Mapping[Party, Line] | None = None,
    ) -> Release:
        """Run an opened round in this process, asking ``update_of(client)`` when it is needed."""
        tape, members = Tape(), opening.cohort.members
        strangers = [who for who in drop or {} if who not in members]
        require(not strangers, f"drop names members among {members}", strangers)

        def wrap(deliver: Wire) -> Wire:
            deliver = tape.recording(deliver) if transcript else deliver
            return dropping(deliver, drop, self.protocol.stages) if drop else deliver

        identities = throwaway_keys(self, opening)
        release = in_process(
            self,
            opening,
            update_of,
            state=state,
            wrap=wrap,
            generator=Stream.of(generator),
            rogues=rogues,
            identities=identities,
        )
        return self._with_transcript(release, tape, identities) if transcript else release

    def average(
        self,
        states: Sequence[Model],
        model: Model,
        *,
        n_examples: Sequence[float] | Tensor | None = None,
        layout: Layout | None = None,
        ledger: Account | None = None,
    ) -> Weights:
        """Average clients' weights under the pipeline: the one-line change in a training loop.

        Args:
            states: what each client trained from ``model``: state_dicts or lists of arrays.
            model: what they started from.
            n_examples: (n,) example counts, for a pipeline with `Weigh`.
            layout: where not everything trains, see `Layout.of`.
            ledger: as for `aggregate`.

        Returns:
            New weights of the same kind as ``model``'s, with its dtypes and devices.

        Raises:
            ValueError: for weights that do not fit, or a pipeline that remembers.

        >>> from torch import nn
        >>> model = nn.Linear(2, 1)
        >>> states = [nn.Linear(2, 1).state_dict() for _ in range(3)]
        >>> model.load_state_dict(Pipeline().average(states, model))
        <All keys matched successfully>
        """
        if self.has_memory:
            raise ValueError(
                f"{self!r} remembers from round to round, and average() forgets. "
                "Use averager = shield.averager(model), then averager(states)."
            )
        averager = self.averager(model, layout=layout, ledger=ledger)
        return averager(states, n_examples=n_examples)

    def averager(
        self, model: Model, *, layout: Layout | None = None, ledger: Account | None = None
    ) -> Averager:
        """Return `average` with a memory: round number, adaptive state, and the last release."""
        return Averager(self, model, layout=layout, ledger=ledger)

    def noise_for(
        self,
        budget: Budget,
        *,
        n_clients: int,
        rounds: int,
        sampling: Sampling | None = None,
    ) -> float:
        """Return the least noise multiplier that keeps ``rounds`` rounds within a budget.

        It is about the one noise of the pipeline, whose own multiplier does not matter. Only an
        outsider is kept from learning who was drawn by ``sampling``; see `privfl.sampling`.

        Raises:
            CompositionError: for a pipeline without a noise, or with two.
            ValueError: for a budget about something that the pipeline does not claim.

        >>> from privfl.core import Budget
        >>> from privfl.defenses.dp import CentralGaussianNoise, Clip
        >>> from privfl.parts import Mean
        >>> shield = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.0))
        >>> z = shield.noise_for(Budget(epsilon=8, delta=1e-5), n_clients=100, rounds=10)
        >>> round(z, 2)
        1.9
        """
        return noise_for(self, budget, n_clients=n_clients, rounds=rounds, sampling=sampling)

    def plan(
        self,
        *,
        n_clients: int,
        dim: int | None = None,
        model: Model | Layout | None = None,
        scalars: tuple[Scalar, ...] = (),
        public: Mapping[Party, State] | None = None,
    ) -> Plan:
        """Return the numbers of a round of ``n_clients`` updates of ``dim`` coordinates."""
        return self._setting(n_clients, dim, model, scalars, public).plan

    def start(
        self, *, n_clients: int, dim: int | None = None, model: Model | Layout | None = None
    ) -> State:
        """Return the state before the first round."""
        opening = self._setting(n_clients, dim, model, (), None).opening
        return {"round": 0, "public": dict(opening.public), "private": {}}

    def explain(
        self,
        *,
        n_clients: int,
        dim: int | None = None,
        model: Model | Layout | None = None,
        rounds: int = 1,
        delta: float = 1e-5,
        sampling: Sampling | None = None,
        n_records: int | None = None,
    ) -> Explanation:
        """Say what runs, who sees what, bounds, bytes, epsilon against whom, and whether it trains.

        With ``sampling``, ``n_clients`` are those from whom each round's cohort is drawn. Training
        that hides single records costs a client of ``n_records`` what is said.

        >>> from privfl.defenses.dp import Clip
        >>> print(Pipeline(Clip(1.0)).explain(n_clients=10, dim=1000).forecast)
        no noise on the release
        """
        require_count("rounds", rounds, least=1)
        require(0 < delta < 1, "delta must lie between 0 and 1", delta)
        how = Everybody() if sampling is None else sampling
        cohort = drawn_cohort(how, n_clients)
        setting = self._setting(cohort, dim, model, (), None)
        charges = amplified(setting.plan.charges, how, n_clients, member=True)
        if self.trainer is not None and n_records is not None:
            charges = (*charges, *self.trainer.charges(n_records))
        return explain(setting, charges, rounds=rounds, delta=delta)

    def _setting(
        self,
        n_clients: int | Cohort,
        dim: int | None,
        model: Model | Layout | None,
        scalars: tuple[Scalar, ...],
        public: Mapping[Party, State] | None,
    ) -> Setting:
        if not isinstance(n_clients, Cohort):
            require_count("n_clients", n_clients, least=1)
        wanted = "Say how large an update is, by dim= or by model="
        require((dim is None) != (model is None), wanted, "neither" if dim is None else "both")
        statistics = 0
        if model is not None:
            layout = model if isinstance(model, Layout) else Layout.of(model)
            require_fit(self, layout)
            dim, statistics = layout.dim, layout.statistics_dim
        require_count("dim", dim or 0, least=1)
        opening = Opening.fresh(
            self,
            n_clients,
            dim or 0,
            statistics=statistics,
            scalars=scalars,
            nonce=bytes(16),
            public=public,
        )
        return Setting(self, opening)

    def _values(
        self,
        n_examples: Sequence[float] | Tensor | None,
        scalars: Mapping[str | Scalar, Sequence[float] | Tensor],
        n: int,
    ) -> tuple[dict[str, Sequence[float] | Tensor], tuple[Scalar, ...]]:
        """Return the values of all scalars by name, and the declarations that are not a part's."""
        own = {scalar.name for scalar in self.scalars}
        declared = tuple(key for key in scalars if isinstance(key, Scalar) and key.name not in own)
        values = {key.name if isinstance(key, Scalar) else key: v for key, v in scalars.items()}
        if n_examples is not None:
            values |= self._example_counts(n_examples, own)
        known = own | {scalar.name for scalar in declared}
        wanted = f"scalars are declared by a part or by a Scalar; known are {sorted(known)}"
        require(set(values) <= known, wanted, sorted(set(values) - known))
        missing = sorted(known - set(values))
        fix = "Pass n_examples=" if missing == [COUNT] else "Pass scalars={name: values}"
        require(not missing, "The pipeline needs a value of each scalar", f"none of {missing}", fix)
        values = {k: v.detach() if isinstance(v, Tensor) else v for k, v in values.items()}
        for name, value in values.items():
            require(len(value) == n, f"{name} must hold {n} values, one a client", len(value))
        return values, declared

    def _example_counts(
        self, n_examples: Sequence[float] | Tensor, own: set[str]
    ) -> dict[str, Sequence[float] | Tensor]:
        if COUNT in own:
            return {COUNT: n_examples}
        if "uniform_weights" in self.accepting:
            return {}
        raise ValueError(
            f"{self!r} gives each client the same weight, and n_examples= was passed. Add "
            "Weigh(max_examples=…) before the protocol, or accept it: "
            "accepting={'uniform_weights'}."
        )

    def _refuse_trainer(self) -> None:
        if self.trainer is not None:
            raise CompositionError(
                "R33",
                (self.trainer,),
                f"{self.trainer!r} trains, and there are updates already",
                "Use Federation, or leave the Trainer out",
            )

    def _with_transcript(
        self, release: Release, tape: Tape, identities: Mapping[Party, Identity]
    ) -> Release:
        states = dict(cast("Mapping[Party, State]", release.state))
        clients = states.pop("clients")
        server = self.contract.opener == "server"
        transcript = Transcript(
            posted=tuple(tape.posted),
            opened=release.opened,
            openers=frozenset({SERVER} if server else release.survivors),
            release=release.update,
            states={SERVER: states, **cast("Mapping[Party, State]", clients)},
            pipeline=self,
            survivors=release.survivors,
            registry=Registry({who: key.public for who, key in identities.items()}),
        )
        return replace(release, transcript=transcript)


def round_of(state: State) -> int:
    """Return the number of the next round, 0 before the first."""
    return int(state.get("round", 0)) if isinstance(state, Mapping) else 0  # type: ignore[arg-type]


def public_of(state: State) -> Mapping[Party, State]:
    """Return the public part of a release's state, empty before the first round."""
    if state is None:
        return {}
    require(isinstance(state, Mapping), "state is a release's state", type(state).__name__)
    return state.get("public", {})  # type: ignore[union-attr, return-value]
