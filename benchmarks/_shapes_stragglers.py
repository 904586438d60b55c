"""FedProx keeps stragglers' work: figure 1 of Li et al. 2020, its row of 90 % stragglers.

https://arxiv.org/abs/1812.06127: 30 clients of Synthetic(1, 1), ten a round, twenty local epochs of
batches of ten at a rate of .01. FedAvg drops who is late, FedProx takes what they have got done;
mu = 0 is the half-way house. "+22 % absolute accuracy on average" is over their highly
heterogeneous settings.
"""

from dataclasses import dataclass
from typing import ClassVar

from _shapes_rows import Figures, Shape
from _shapes_tasks import LOSS, accuracy, linear, loss, pooled, replayed, unequal_clients

from privfl import Federation, Pipeline
from privfl.learning import Algorithm, FedAvg, FedProx, Fleet, LocalSGD
from privfl.sampling import Device, FixedSize


@dataclass(frozen=True)
class Stragglers:
    """Let nine in ten clients be late in each round, and compare accuracy and training loss."""

    rounds: int = 25  # 200 there
    clients: int = 30
    cohort: int = 10
    most: int = 200  # examples a client; there up to ten thousand
    straggles: float = 0.9
    epochs: int = 20
    lr: float = 0.01
    mu: float = 1.0

    shapes: ClassVar = (
        Shape("FedProx mu=1 / FedAvg, accuracy", "mu=1 accuracy", "FedAvg accuracy", 11.0,
              published="+22"),
        Shape("FedProx mu=0 / FedAvg, accuracy", "mu=0 accuracy", "FedAvg accuracy", 0.0),
        Shape("FedProx mu=1 / mu=0, accuracy", "mu=1 accuracy", "mu=0 accuracy", 0.0),
        Shape("FedProx mu=1 / FedAvg, training loss", "mu=1 loss", "FedAvg loss", 0.0, above=False),
    )  # fmt: skip

    def __call__(self, seed: int) -> Figures:
        """Train all three on the same cohorts and the same late clients."""
        sides: dict[str, Algorithm] = {
            "FedAvg": FedAvg(), "mu=0": FedProx(mu=0), "mu=1": FedProx(mu=self.mu)
        }  # fmt: skip
        figures = {}
        data = unequal_clients(self.clients, self.most, seed)
        for name, algorithm in sides.items():
            federation = Federation(
                linear(),
                data.train,
                Pipeline(),
                loss=LOSS,
                algorithm=algorithm,
                local=LocalSGD(lr=self.lr, batch_size=10, epochs=self.epochs),
                sampling=FixedSize(self.cohort),
                fleet=Fleet([Device(straggles=self.straggles)] * self.clients),
                generator=replayed(seed),
            )
            for _ in federation.rounds(self.rounds):
                pass
            figures[f"{name} accuracy"] = accuracy(federation.model, pooled(data.test))
            figures[f"{name} loss"] = loss(federation.model, pooled(data.train))
        return figures
