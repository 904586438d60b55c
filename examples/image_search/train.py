"""Training, in each of the ways that the table compares."""

from dataclasses import dataclass, field
from typing import Any

import torch
from clients import Data, Size, by_region
from embedder import PERSONAL, accuracy, make_model
from shields import masked, noised
from torch import nn

from privfl import Federation, Pipeline
from privfl.data import mnist_sample
from privfl.learning import Algorithm, Centralised, FedAvg, FedPer, FedRep, LocalSGD

LOCAL = LocalSGD(lr=0.1, batch_size=10, epochs=2)


@dataclass(frozen=True)
class Way:
    """One way to train: what is shared, and what is done to it.

    Attributes:
        algorithm: says what leaves a client.
        shield: what is done to an update.
    """

    algorithm: Algorithm[Any]
    shield: Pipeline = field(default_factory=Pipeline)


WAYS = {
    "centralised": Way(Centralised()),
    "FedAvg": Way(FedAvg()),
    "FedPer": Way(FedPer(PERSONAL)),
    "FedRep": Way(FedRep(PERSONAL)),
    "FedRep, masks": Way(FedRep(PERSONAL), masked()),
    "FedRep, noise": Way(FedRep(PERSONAL), noised()),
}


def federation(way: Way, datas: list[Data], size: Size, *, seed: int) -> Federation:
    """Put clients, model and pipeline together; ``rounds`` of it trains."""
    return Federation(
        make_model(seed),
        datas,
        way.shield,
        loss=nn.functional.cross_entropy,
        algorithm=way.algorithm,
        local=LOCAL,
        sampling=by_region(size.n_clients, size.each),
        generator=torch.Generator().manual_seed(seed),  # repeats the run; leave it out in earnest
    )


def own_accuracy(trained: Federation) -> float:
    """Return how often a client's own model names its own two digits, on average over clients.

    The images are those that no client has. A common head has to tell all ten digits apart, and a
    client's own only those that the client meets.
    """
    x, y = mnist_sample().test
    shares = []
    for client, (_, labels) in trained.datasets.items():
        rows = torch.isin(y, labels.unique())
        shares.append(accuracy(trained.model_of(client), x[rows], y[rows]))
    return sum(shares) / len(shares)
