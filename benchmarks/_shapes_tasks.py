"""What the published shapes are tried on: data with a held-out part, small models, accuracy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from privfl.crypto import Stream
from privfl.data import dirichlet, iid, mnist_sample, shards, synthetic
from privfl.parts import Data

LOSS = nn.functional.cross_entropy


@dataclass(frozen=True)
class Split:
    """Hold what each client trains on, and what each is tested on."""

    train: list[Data]
    test: list[Data]


def unequal_clients(n_clients: int, most: int, seed: int) -> Split:
    """Draw Synthetic(1, 1), a fifth of each client held out; large clients are cut to ``most``."""
    clients = synthetic(1.0, 1.0, n_clients, generator=seed)
    cut = [(x[:most], y[:most]) for x, y in clients]  # examples come in no order
    ends = [len(y) * 4 // 5 for _, y in cut]
    return Split(
        [(x[:n], y[:n]) for (x, y), n in zip(cut, ends, strict=True)],
        [(x[n:], y[n:]) for (x, y), n in zip(cut, ends, strict=True)],
    )


def few_labels(n_clients: int, labels: int, seed: int) -> Split:
    """Deal the digits, ``labels`` a client; each is tested on all test images of its labels."""
    digits = mnist_sample()
    (x, y), (x_test, y_test) = digits.train, digits.test
    parts = shards(y, n_clients, labels_per_client=labels, generator=seed)
    own = [torch.isin(y_test, y[rows].unique()) for rows in parts]
    return Split([(x[r], y[r]) for r in parts], [(x_test[keep], y_test[keep]) for keep in own])


def skewed_digits(n_clients: int, alpha: float, seed: int) -> Split:
    """Deal the digits by Dirichlet(alpha); there is one common test set."""
    digits = mnist_sample()
    x, y = digits.train
    parts = dirichlet(y, n_clients, alpha=alpha, min_size=10, generator=seed)
    return Split([(x[rows], y[rows]) for rows in parts], [digits.test])


def unlike_clients(n_clients: int, turned: int, seed: int) -> Split:
    """Deal the digits evenly; the first ``turned`` clients see them turned by a quarter."""
    digits = mnist_sample()
    (x, y), (x_test, y_test) = digits.train, digits.test
    parts = iid(y, n_clients, generator=seed)
    quarters = [int(k < turned) for k in range(n_clients)]
    return Split(
        [(x[r].rot90(k, (2, 3)), y[r]) for r, k in zip(parts, quarters, strict=True)],
        [(x_test.rot90(k, (2, 3)), y_test) for k in quarters],
    )


def started(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Make a model whose first weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def linear(features: int = 60) -> nn.Module:
    """Make a multinomial logistic regression, from zero; Synthetic has 60 features."""
    model = nn.Linear(features, 10)
    for weights in model.parameters():
        nn.init.zeros_(weights)
    return model


def flat_linear() -> nn.Module:
    """Make a multinomial logistic regression of digits, from zero."""
    return nn.Sequential(nn.Flatten(), linear(784))


def perceptron() -> nn.Module:
    """Make one hidden layer of 64 on digits; the layer "head" chooses the digit."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU())
    model.add_module("head", nn.Linear(64, 10))
    return model


def replayed(seed: int) -> Stream:
    """Return the randomness that all sides of one seed share: cohorts, machines and batches."""
    return Stream.replay(seed)


def pooled(data: Sequence[Data]) -> Data:
    """Put several clients' examples together."""
    return torch.cat([x for x, _ in data]), torch.cat([y for _, y in data])


def accuracy(model: nn.Module, data: Data) -> float:
    """Return the percentage of right answers."""
    return 100 * float((outputs(model, data[0]).argmax(dim=1) == data[1]).double().mean())


def loss(model: nn.Module, data: Data) -> float:
    """Return the mean loss."""
    return float(LOSS(outputs(model, data[0]), data[1]))


def outputs(model: nn.Module, x: Tensor) -> Tensor:
    """Evaluate, and leave the model in the mode in which it was."""
    training = model.training
    with torch.no_grad():
        out: Tensor = model.eval()(x)
    model.train(training)
    return out
