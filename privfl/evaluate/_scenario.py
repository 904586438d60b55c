"""What is trained, by whom, on what: the ground on which attacks and defences meet."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from privfl import __version__
from privfl.core import Party, encode, require, require_count, require_positive
from privfl.crypto import Stream
from privfl.data import Digits, dirichlet, mnist_sample
from privfl.evaluate._models import digits_cnn, digits_mlp
from privfl.learning import LocalSGD
from privfl.parts import Data, Loss


@dataclass(frozen=True)
class Scenario:
    """Hold model, data, clients, partition, rounds, trainer and number of attackers.

    Your own takes two lines: ``Scenario("mine", make_model, train=(x, y), test=(x, y))``.

    Attributes:
        name: for the report.
        model: makes a fresh model.
        train, test: pairs of tensors; inputs in [0, 1] where pictures are attacked.
        loss: ``(outputs, y) -> mean loss``.
        twin: makes a model whose first layer is linear, for the attacks that need one; or None.
        pool: examples of the same kind among which a victim must be picked out; None: ``train``.
        n_clients, n_byzantine: how many take part, and how many of them attack.
        alpha: of the Dirichlet split by label.
        rounds: of training.
        local: what a client does in a round.

    >>> scenario = Scenario.digits()
    >>> scenario.n_clients, scenario.n_byzantine, scenario.rounds
    (10, 2, 12)
    """

    name: str
    model: Callable[[], nn.Module]
    train: Data = field(repr=False)
    test: Data = field(repr=False)
    loss: Loss = nn.functional.cross_entropy
    twin: Callable[[], nn.Module] | None = None
    pool: Data | None = field(default=None, repr=False)
    n_clients: int = 10
    n_byzantine: int = 2
    alpha: float = 0.5
    rounds: int = 12
    local: LocalSGD = field(default_factory=lambda: LocalSGD(lr=0.2, steps=6))

    def __post_init__(self) -> None:
        """Refuse a scenario that nobody can train in."""
        require_count("n_clients", self.n_clients, least=1)
        require_count("n_byzantine", self.n_byzantine)
        require_count("rounds", self.rounds, least=1)
        require_positive("alpha", self.alpha)
        honest = self.n_clients - self.n_byzantine
        require(honest > self.n_byzantine, "Most clients must be honest", f"{honest} of them")
        for what, (x, y) in (("train", self.train), ("test", self.test)):
            require(len(x) == len(y) > 0, f"{what} must hold inputs and labels", len(x))

    @classmethod
    def digits(cls, data: Digits | None = None) -> "Scenario":
        """Make the demo's scenario, on the packaged digits or on others such as full MNIST."""
        digits = mnist_sample() if data is None else data
        return cls("handwritten digits", digits_cnn, digits.train, digits.test, twin=digits_mlp)

    def but(self, **changes: object) -> "Scenario":
        """Return a copy with ``changes``."""
        return replace(self, **changes)  # type: ignore[arg-type]

    @property
    def members(self) -> tuple[int, ...]:
        """Names of the clients."""
        return tuple(range(self.n_clients))

    @property
    def byzantine(self) -> tuple[int, ...]:
        """Names of those who attack where somebody does: the last ones."""
        return self.members[self.n_clients - self.n_byzantine :]

    @property
    def honest(self) -> tuple[int, ...]:
        """Names of the others."""
        return self.members[: self.n_clients - self.n_byzantine]

    @property
    def candidates(self) -> Data:
        """The pool for identification."""
        return self.train if self.pool is None else self.pool

    def clients(self, seed: int) -> dict[Party, Data]:
        """Split the training data over the clients."""
        x, y = self.train
        split = dirichlet(
            y,
            self.n_clients,
            alpha=self.alpha,
            min_size=self.local.batch_size,
            generator=self.stream(seed, "split"),
        )
        return {who: (x[rows], y[rows]) for who, rows in enumerate(split)}

    def fresh_model(self, seed: int, make: Callable[[], nn.Module] | None = None) -> nn.Module:
        """Make a model whose start depends on the seed alone."""
        with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global generator
            torch.manual_seed(seed)
            return (make or self.model)()

    def accuracy(self, model: nn.Module) -> float:
        """Return the share of test examples that ``model`` gets right."""
        x, y = self.test
        was_training = model.training
        model.eval()
        with torch.no_grad():
            right = sum(int((model(a).argmax(1) == b).sum()) for a, b in _chunks(x, y))
        model.train(was_training)
        return right / len(y)

    def stream(self, seed: int, label: str) -> Stream:
        """Return the randomness of one purpose under one seed."""
        return Stream.replay(seed).child(label)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all that results depend on, the package's version included."""
        start = self.fresh_model(0).state_dict()
        settings = (self.name, self.n_clients, self.n_byzantine, self.alpha, self.rounds)
        loss = getattr(self.loss, "__qualname__", type(self.loss).__qualname__)
        data = [*self.train, *self.test, *self.candidates, *start.values()]
        digest = hashlib.sha256(repr((settings, self.local, loss, __version__)).encode())
        for tensor in data:
            digest.update(encode(tensor))
        return digest.hexdigest()


def _chunks(x: Tensor, y: Tensor, size: int = 500) -> "zip[tuple[Tensor, Tensor]]":
    return zip(x.split(size), y.split(size), strict=True)
