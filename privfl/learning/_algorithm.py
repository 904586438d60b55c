"""What a federated algorithm is: what is shared, and how the server steps."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from torch import Tensor, nn

from privfl.core import CompositionError, Layout, Party, Scalar
from privfl.crypto import Stream
from privfl.learning._fleet import Fleet
from privfl.parts import Data, Loss, Trained, Trainer
from privfl.pipeline import Pipeline
from privfl.rounds import Line, Release
from privfl.sampling import Sampling

S = TypeVar("S")
Binding = Literal["same", "chain", "none"]
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Train:
    """Say what a client does in an exchange: ``(client, model, generator) -> Trained``.

    Attributes:
        run: gets the model with the weights that the client was sent, its own to change.
        reports: names of the scalars that it always returns.
    """

    run: Callable[[Party, nn.Module, Stream], Trained]
    reports: tuple[str, ...] = ()

    def __call__(self, client: Party, model: nn.Module, generator: Stream) -> Trained:
        """Train."""
        return self.run(client, model, generator)


class Exchange(Protocol):
    """Run hardened exchanges: clients train, one aggregate comes back.

    The algorithm knows nothing of the pipeline but its contract, and the pipeline nothing of the
    algorithm.
    """

    @property
    def local(self) -> Train:
        """The clients' own training."""

    @property
    def trainer(self) -> Trainer:
        """The trainer behind `local`."""

    @property
    def pipeline(self) -> Pipeline:
        """The federation's, for what its contract says; nothing else of it is used."""

    @property
    def layout(self) -> Layout:
        """Which coordinates are shared."""

    @property
    def fleet(self) -> Fleet:
        """What is known of the clients' machines."""

    @property
    def number(self) -> int:
        """The round, counted from 0."""

    @property
    def loss(self) -> Loss:
        """What is minimised."""

    def trained_by(
        self, trainer: Trainer, *, loss: Loss | None = None, data: Data | None = None
    ) -> Train:
        """Return training by another trainer or loss, or on other data than the client's own."""

    def trained(self, client: Party, train: Train, model: State) -> State:
        """Let a client train from ``model`` by itself: nothing leaves it, nothing is charged."""

    def data_of(self, client: Party) -> Data:
        """Return a client's data, for what the client itself does with it."""

    def loss_of(self, client: Party, model: nn.Module) -> float:
        """Return the mean loss of ``model`` on a client's data, for the client's own use."""

    def steps_of(self, client: Party) -> int:
        """Return how many steps a client's whole work has."""

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
        """Let ``members`` train from ``model`` and return the aggregate of their updates.

        Args:
            members: of this sum.
            train: what each of them does.
            model: the weights that are broadcast.
            bases: the weights that each member starts from, where they are not ``model``.
            weights: one public weight a member.
            owners: (n, d) bool, which coordinates a member trains.
            scalars: sent besides the update; None: the algorithm's.
            pipeline: another one than the federation's.
            key: exchanges of one key remember one another.
            made_of: whose data the updates are made of; None: the members'. Nobody's are charged
                where everything that is sent was released before.
            ends: simulated time at which it is over; None: when the slowest member is done.
        """

    def moved(self, model: State, release: Release) -> State:
        """Return ``model`` plus the release, running statistics included."""


class Algorithm(Generic[S]):
    """State what clients share and how the server steps. Subclasses are frozen dataclasses.

    Attributes:
        clients_can_step: the next model is the last one plus the release, so that clients who open
            a sum by themselves make it too. Without, a pipeline whose result stays with the
            clients is refused (rule R9).
        model_binding: what a client is sure that the others were sent (rule R20): the ``same``
            model; versions of one public log, the ``chain``; ``none``.
        keeps_partial_work: a straggler sends what it has got done; without, it is not waited for.
        one_sum: a round is one sum over the cohort that was drawn.
        scalars: what clients send besides the update.
    """

    @property
    def clients_can_step(self) -> bool:
        """Whether the release is all that the next model needs."""
        return False

    @property
    def model_binding(self) -> Binding:
        """What a client is sure of."""
        return "same"

    @property
    def keeps_partial_work(self) -> bool:
        """Whether half a training counts."""
        return False

    @property
    def one_sum(self) -> bool:
        """Whether a round is one sum."""
        return True

    @property
    def scalars(self) -> tuple[Scalar, ...]:
        """What clients send besides the update."""
        return ()

    @property
    def sums_a_round(self) -> int:
        """How many sums a client is in, each round."""
        return 1

    def smallest_sum(self, clients: Sequence[Party]) -> int:
        """Return how many clients the smallest sum of a round has, where everybody takes part."""
        return len(clients)

    def check(self, line: Line, local: Trainer, sampling: Sampling, layout: Layout) -> None:
        """Refuse what the algorithm does not run under.

        Raises:
            CompositionError: with the rule, both sides and what to do.
        """
        del line, local, sampling, layout

    def layout(self, model: nn.Module) -> Layout:
        """Return which coordinates of a model are shared."""
        return Layout.of(model)

    def start(self, model: nn.Module, clients: Sequence[Party]) -> S:
        """Return the state before the first round."""
        raise NotImplementedError

    def round(self, state: S, members: Sequence[Party], exchange: Exchange) -> S:
        """Run one round and return the next state, a value that `privfl.core.encode` can write."""
        raise NotImplementedError

    def model(self, state: S) -> State:
        """Return the common weights of a state."""
        raise NotImplementedError

    def with_model(self, state: S, weights: State) -> S:
        """Return the state with other common weights."""
        raise NotImplementedError

    def weights_of(self, state: S, client: Party) -> State:
        """Return the weights that a client uses: the common ones, where nothing is personal."""
        del client
        return self.model(state)

    def network_of(self, client: Party, model: nn.Module) -> nn.Module:
        """Return a module for a client's weights: like the common ``model``, unless said."""
        del client
        return copy.deepcopy(model)


class OneModel(Algorithm[State]):
    """Be an algorithm whose state is the common weights."""

    def start(self, model: nn.Module, clients: Sequence[Party]) -> State:
        """Start from the model's weights."""
        del clients
        return weights_of(model)

    def model(self, state: State) -> State:
        """Return the common weights."""
        return state

    def with_model(self, state: State, weights: State) -> State:
        """Return the other weights."""
        del state
        return weights


def weights_of(model: nn.Module | State) -> dict[str, Tensor]:
    """Copy the weights of a module, or weights."""
    weights = model.state_dict() if isinstance(model, nn.Module) else model
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


def refuse(rule: str, sides: tuple[object, object], reason: str, fix: str) -> None:
    """Raise a CompositionError between an algorithm and what it does not run under."""
    raise CompositionError(rule, sides, reason, fix)


def refuse_a_rule(algorithm: object, line: Line, reason: str, fix: str) -> None:
    """Refuse an aggregator that is no mean."""
    if not line.aggregator.linear:
        refuse("R33", (algorithm, line.aggregator), reason, fix)


def refuse_private_support(algorithm: object, line: Line) -> None:
    """Refuse positions that depend on data, where coordinates are counted one by one."""
    if line.contract.support == "private":
        part = line.contract.author("support")
        reason = f"{part!r} sends positions of its own, and {algorithm!r} divides by coordinate"
        refuse("R33", (algorithm, part), reason, "Use RandomK(…)")
