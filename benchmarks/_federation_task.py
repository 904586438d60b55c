"""The work of a round that engines are compared by: model, clients' images, local steps."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from privfl.crypto import Stream
from privfl.data import mnist_sample
from privfl.evaluate import Scenario
from privfl.learning import LocalSGD

LOCAL = LocalSGD(lr=0.1, batch_size=10, steps=5)
LOSS = nn.functional.cross_entropy
SEED = 0

Images = tuple[Tensor, Tensor]


def small_cnn() -> nn.Module:
    """Make the demo's model."""
    return Scenario.digits().model()


def large_cnn() -> nn.Module:
    """Make the MNIST model of McMahan et al. 2017, section 3: 1,663,370 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 32, kernel_size=5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, kernel_size=5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(3136, 512),
        nn.ReLU(),
        nn.Linear(512, 10),
    )


MODELS = {"28,938": small_cnn, "1,663,370": large_cnn}


@dataclass(frozen=True)
class Task:
    """Train the model of so many parameters on ``n`` clients: what another process is told."""

    parameters: str
    n: int

    def model(self) -> nn.Module:
        """Make the model, with the same weights in every process."""
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            return MODELS[self.parameters]()

    def stream(self) -> Stream:
        """Return the randomness of privfl's federation."""
        return Stream.replay(SEED)


@cache
def dealt(n: int) -> list[Images]:
    """Deal the images out to ``n`` clients."""
    x, y = mnist_sample().train
    return [(x[k::n], y[k::n]) for k in range(n)]


@cache
def in_order(task: Task) -> list[Images]:
    """Return each client's images in the order in which privfl takes them in its first round.

    An engine that takes them as they lie does the same arithmetic in that round, and as much of it
    in any other.
    """
    drawn = task.stream().child("round/0")
    orders = [
        torch.cat(LOCAL.batches(len(y), drawn.child(f"client/{k}").torch_generator()))
        for k, (_, y) in enumerate(dealt(task.n))
    ]
    parts = zip(dealt(task.n), orders, strict=True)
    return [(x[order], y[order]) for (x, y), order in parts]


def train(model: nn.Module, images: Images) -> None:
    """Take the local steps, as a client writes them."""
    optimizer = torch.optim.SGD(model.parameters(), lr=LOCAL.lr)
    for x, y in zip(*(part.split(LOCAL.batch_size) for part in images), strict=True):
        optimizer.zero_grad()
        LOSS(model(x), y).backward()
        optimizer.step()


def flat(model: nn.Module) -> Tensor:
    """Return all weights as one vector."""
    return torch.cat([weight.detach().reshape(-1) for weight in model.parameters()])
