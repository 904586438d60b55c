"""Asynchronous averaging over a buffer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from torch import nn

from privfl.core import (
    Layout,
    Party,
    ProtocolAbort,
    Relation,
    require,
    require_count,
    require_positive,
)
from privfl.crypto import Stream
from privfl.learning._algorithm import Binding, Exchange, State, Train, refuse, weights_of
from privfl.learning._reports_loss import ReportsLoss
from privfl.learning._states import combined
from privfl.parts import Trained, Trainer
from privfl.rounds import Line
from privfl.sampling import Everybody, Sampling

A_MILLION = 10**6  # records: more than any batch, to ask whether the number of steps depends on it


class Buffered(TypedDict):
    """Hold the log of models that somebody still trains from, and who does since when.

    ``base`` is the version that a client trains from, ``ready`` the simulated time at which it is
    done, ``taken`` how many buffers it was in.
    """

    version: int
    models: Mapping[int, State]
    base: Mapping[Party, int]
    ready: Mapping[Party, float]
    taken: Mapping[Party, int]


@dataclass(frozen=True)
class FedBuff(ReportsLoss[Buffered]):
    """Step whenever ``buffer`` clients are done, however old the model they started from.

    Nguyen et al. 2022 (https://arxiv.org/abs/2106.06639), algorithm 1: an update that is ``tau``
    versions old counts ``1 / sqrt(1 + tau)``, and the server adds ``lr`` times the mean of the
    buffer. Clients finish in the order of their machines (`Fleet`), in simulated time. A round is
    one buffer. Whoever is done waits until its buffer is full, gets the new model and starts again,
    so that it sends once from a version; the buffer is the barrier that sums and keys need, and
    each is bound to the head of the log and the versions it takes (rule R20).

    Under a privacy claim the first to arrive displace others, so that the claim is about a client
    that sends zeros (zero-out), the timetable must not depend on data, and each client is charged
    for every buffer that it is in, at most ``participations`` (rule R12). Weights are at most 1, so
    the clip norm bounds a client as ever.

    Guarantees:
        - With as many places as clients, all equally fast, it is `FedAvg`.

    >>> FedBuff(buffer=10).weight(staleness=3)
    0.5
    """

    buffer: int = 10
    lr: float = 1.0
    participations: int | None = None

    def __post_init__(self) -> None:
        """Refuse an empty buffer, and a server that does not move."""
        super().__post_init__()
        require_count("buffer", self.buffer, least=1)
        require_positive("lr", self.lr)
        if self.participations is not None:
            require_count("participations", self.participations, least=1)

    @property
    def model_binding(self) -> Binding:
        """The head of the log, and the versions that are taken."""
        return "chain"

    @property
    def one_sum(self) -> bool:
        """A round is a sum over who arrived first."""
        return False

    def smallest_sum(self, clients: Sequence[Party]) -> int:
        """Return the size of the buffer."""
        del clients
        return self.buffer

    def weight(self, staleness: int) -> float:
        """Return for how much an update counts that is so many versions old."""
        return 1 / math.sqrt(1 + staleness)

    def check(self, line: Line, local: Trainer, sampling: Sampling, layout: Layout) -> None:
        """Refuse a cohort drawn by others, and a claim that the order of arrival breaks."""
        del layout
        if type(sampling) is not Everybody:
            reason = f"{self!r} takes who is done first, and {sampling!r} draws"
            refuse("R12", (self, sampling), reason, "Leave sampling= out")
        claims = line.contract.claims_privacy
        counts = any(c.relation is Relation.ADD_REMOVE for c in local.charges(A_MILLION))
        if (claims or counts) and local.n_steps(1000) != local.n_steps(A_MILLION):
            reason = f"when a client arrives tells how many examples it has, under {local!r}"
            refuse("R12", (self, local), reason, "Say steps=…")
        if not claims:
            return
        noise = line.contract.author("noise")
        relation = getattr(noise, "relation", Relation.ZERO_OUT)
        if relation is not Relation.ZERO_OUT:
            reason = f"who arrives first displaces another client, and {noise!r} is {relation}"
            refuse("R12", (self, noise), reason, "Use relation='zero-out'")
        if self.participations is None:
            reason = f"{self!r} lets a fast client be in any number of releases of {noise!r}"
            refuse("R12", (self, noise), reason, "Say participations=…")

    def start(self, model: nn.Module, clients: Sequence[Party]) -> Buffered:
        """Send everybody the first model."""
        wanted = f"buffer must be at most the number of clients, {len(clients)}"
        require(self.buffer <= len(clients), wanted, self.buffer)
        return {
            "version": 0,
            "models": {0: weights_of(model)},
            "base": dict.fromkeys(clients, 0),
            "ready": {},
            "taken": dict.fromkeys(clients, 0),
        }

    def round(self, state: Buffered, members: Sequence[Party], exchange: Exchange) -> Buffered:
        """Take the first who are done, step, and send them the new model."""
        version, base = state["version"], dict(state["base"])
        ready = state["ready"] or {who: self._seconds(who, exchange) for who in members}
        first = self._first(state["taken"], ready)
        now = max(ready[who] for who in first)
        bases = {who: state["models"][base[who]] for who in first}
        train = self._weighed(exchange.local, bases, {who: version - base[who] for who in first})
        head = state["models"][version]
        release = exchange(first, train, model=head, bases=bases, ends=now)
        step = replace(release, update=self.lr * release.update)
        models = {**state["models"], version + 1: exchange.moved(head, step)}
        base |= dict.fromkeys(first, version + 1)
        used = {*base.values(), version + 1}
        return {
            "version": version + 1,
            "models": {number: model for number, model in models.items() if number in used},
            "base": base,
            "ready": {**ready, **{who: now + self._seconds(who, exchange) for who in first}},
            "taken": {who: n + (who in first) for who, n in state["taken"].items()},
        }

    def _first(self, taken: Mapping[Party, int], ready: Mapping[Party, float]) -> list[Party]:
        most = math.inf if self.participations is None else self.participations
        able = [who for who in ready if taken[who] < most]
        if len(able) < self.buffer:
            raise ProtocolAbort(
                f"{len(able)} clients were in fewer than participations = {most} buffers, and a "
                f"buffer takes {self.buffer}"
            )
        return sorted(able, key=lambda who: ready[who])[: self.buffer]

    def _seconds(self, client: Party, exchange: Exchange) -> float:
        return exchange.fleet.seconds(client, exchange.steps_of(client))

    def _weighed(
        self, local: Train, bases: Mapping[Party, State], staleness: Mapping[Party, int]
    ) -> Train:
        def run(client: Party, model: nn.Module, generator: Stream) -> Trained:
            trained = local(client, model, generator)
            weight = self.weight(staleness[client])
            if weight == 1:
                return trained
            mixed = combined([(1 - weight, bases[client]), (weight, weights_of(trained.model))])
            return Trained(mixed, trained.scalars)

        return Train(run, local.reports)

    def model(self, state: Buffered) -> State:
        """Return the head of the log."""
        return state["models"][state["version"]]

    def with_model(self, state: Buffered, weights: State) -> Buffered:
        """Replace the head of the log."""
        return {**state, "models": {**state["models"], state["version"]: weights}}
