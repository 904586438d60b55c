"""A buffer does not wait for slow machines: Nguyen et al. 2022 (FedBuff).

https://arxiv.org/abs/2106.06639: up to 3.3 times more efficient than rounds that wait for all.
"""

from dataclasses import dataclass
from typing import ClassVar

from _shapes_rows import Figures, Shape
from _shapes_tasks import LOSS, accuracy, perceptron, replayed, skewed_digits, started

from privfl import Federation, Pipeline
from privfl.crypto import Stream
from privfl.learning import Algorithm, FedAvg, FedBuff, Fleet, LocalSGD
from privfl.sampling import Device


@dataclass(frozen=True)
class Machines:
    """Compare simulated seconds until the common model has the target accuracy."""

    target: float = 85.0
    clients: int = 30
    buffer: int = 10
    spread: float = 20.0  # speeds are log-uniform from 1 to this, in steps a second
    alpha: float = 0.5
    steps: int = 5
    lr: float = 0.3
    most_steps: int = 30_000  # over all clients; who needs more is given the time so far

    shapes: ClassVar = (
        Shape("FedBuff / FedAvg, simulated seconds to 85 %", "FedBuff", "FedAvg", 3.3**-0.5,
              above=False, ratio=True, published="1 / 3.3"),
    )  # fmt: skip

    def __call__(self, seed: int) -> Figures:
        """Run both on the same machines and data."""
        return {
            "FedAvg": self.seconds(FedAvg(), self.clients, seed),
            "FedBuff": self.seconds(FedBuff(buffer=self.buffer), self.buffer, seed),
        }

    def seconds(self, algorithm: Algorithm, heard: int, seed: int) -> float:
        """Return when the target is reached, ``heard`` clients being heard in a round."""
        data = skewed_digits(self.clients, self.alpha, seed)
        speeds = self.spread ** Stream.replay(seed).child("speeds").uniform((self.clients,))
        federation = Federation(
            started(perceptron, seed),
            data.train,
            Pipeline(),
            loss=LOSS,
            algorithm=algorithm,
            local=LocalSGD(lr=self.lr, steps=self.steps),
            fleet=Fleet([Device(speed=speed) for speed in speeds.tolist()]),
            generator=replayed(seed),
        )
        for done in federation.rounds(self.most_steps // (heard * self.steps)):
            if accuracy(done.model, data.test[0]) >= self.target:
                break
        return federation.clock
