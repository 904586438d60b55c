"""Personal layers where clients have two labels: table 1 of Collins et al. 2021.

https://arxiv.org/abs/2102.07078, CIFAR-10, 100 clients of two labels: FedAvg 42.65, FedPer 87.13,
FedRep 87.70 % on each client's own test data. And a model that is one step from everybody's own:
Fallah et al. 2020, https://arxiv.org/abs/2002.07948, table 1, MNIST with ten local steps: FedAvg
and a step 75.96, Per-FedAvg of first order 78.00 %.
"""

import copy
from dataclasses import dataclass
from typing import ClassVar

from _shapes_rows import Figures, Shape
from _shapes_tasks import LOSS, Split, accuracy, few_labels, perceptron, replayed, started

from privfl import Federation, Pipeline
from privfl.learning import Algorithm, FedAvg, FedPer, FedRep, LocalSGD, PerFedAvg
from privfl.sampling import FixedSize


@dataclass(frozen=True)
class PersonalLayers:
    """Compare the mean over clients of the accuracy of each one's own model on its own labels."""

    rounds: int = 40
    clients: int = 20
    cohort: int = 10
    epochs: int = 2
    lr: float = 0.3

    shapes: ClassVar = (
        Shape("FedPer / FedAvg, error of clients' own models", "FedPer error", "FedAvg error",
              (12.87 / 57.35) ** 0.5, above=False, ratio=True, published="12.87 / 57.35"),
        Shape("FedRep / FedAvg, error of clients' own models", "FedRep error", "FedAvg error",
              (12.30 / 57.35) ** 0.5, above=False, ratio=True, published="12.30 / 57.35"),
    )  # fmt: skip

    def __call__(self, seed: int) -> Figures:
        """Train all three on the same cohorts."""
        data = few_labels(self.clients, 2, seed)
        sides: dict[str, Algorithm] = {
            "FedAvg": FedAvg(), "FedPer": FedPer(["head"]), "FedRep": FedRep(["head"])
        }  # fmt: skip
        local = LocalSGD(lr=self.lr, batch_size=50, epochs=self.epochs)
        figures = {}
        for name, algorithm in sides.items():
            federation = trained(data, algorithm, local, self.cohort, self.rounds, seed)
            right = [accuracy(federation.model_of(k), own) for k, own in enumerate(data.test)]
            figures[f"{name} error"] = 100 - sum(right) / len(right)
        return figures


@dataclass(frozen=True)
class OneStep:
    """Compare clients' accuracy on their own labels, a step of SGD from the common model."""

    rounds: int = 40
    clients: int = 20
    cohort: int = 10
    steps: int = 10
    lr: float = 0.3
    alpha: float = 0.3

    shapes: ClassVar = (
        Shape("Per-FedAvg / FedAvg, a step later, accuracy", "Per-FedAvg", "FedAvg", 1.02,
              published="+2.04"),
    )  # fmt: skip

    def __call__(self, seed: int) -> Figures:
        """Train both on the same cohorts; both take the same step at the end."""
        data = few_labels(self.clients, 2, seed)
        step, figures = PerFedAvg(alpha=self.alpha), {}
        local = LocalSGD(lr=self.lr, batch_size=50, steps=self.steps)
        for name, algorithm in {"FedAvg": FedAvg(), "Per-FedAvg": step}.items():
            model = trained(data, algorithm, local, self.cohort, self.rounds, seed).model
            own = [step.adapted(copy.deepcopy(model), mine, LOSS) for mine in data.train]
            right = [accuracy(*pair) for pair in zip(own, data.test, strict=True)]
            figures[name] = sum(right) / len(right)
        return figures


def trained(
    data: Split, algorithm: Algorithm, local: LocalSGD, cohort: int, rounds: int, seed: int
) -> Federation:
    """Run a federation of perceptrons."""
    federation = Federation(
        started(perceptron, seed),
        data.train,
        Pipeline(),
        loss=LOSS,
        algorithm=algorithm,
        local=local,
        sampling=FixedSize(cohort),
        generator=replayed(seed),
    )
    for _ in federation.rounds(rounds):
        pass
    return federation
