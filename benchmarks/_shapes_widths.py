"""Networks of five widths train nearly as well as wide ones: Diao et al. 2021 (HeteroFL), table 1.

https://arxiv.org/abs/2010.01264, MNIST dealt evenly: all wide (a) 99.47, all narrow (e) 98.46, a to
e in equal shares 99.23 %, with .267 of the parameters on average.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from _shapes_rows import Figures, Shape
from _shapes_tasks import LOSS, accuracy, replayed, started
from torch import nn

from privfl import Federation, Pipeline
from privfl.crypto import Stream
from privfl.data import iid, mnist_sample
from privfl.learning import HeteroFL, LocalSGD, Scaler, measured, static_batch_norm

WIDTHS = (1.0, 0.5, 0.25, 0.125, 0.0625)
PUBLIC = 500  # images that no client has, for the statistics of batch normalisation


@dataclass(frozen=True)
class Widths:
    """Compare test errors of the mix, of all wide and of all narrow."""

    rounds: int = 15
    clients: int = 10
    lr: float = 0.3

    shapes: ClassVar = (
        Shape("HeteroFL a-e / all a, error", "mix error", "wide error", (0.77 / 0.53) ** 2,
              above=False, ratio=True, published=".77 / .53"),
        Shape("HeteroFL a-e / all e, error", "mix error", "narrow error", (0.77 / 1.54) ** 0.5,
              above=False, ratio=True, published=".77 / 1.54"),
        Shape("HeteroFL a-e / all a, mean parameters", "mix size", "wide size", 0.267**0.5,
              above=False, ratio=True, published=".267"),
    )  # fmt: skip

    def __call__(self, seed: int) -> Figures:
        """Train all three on the same data; all narrow is a federation whose widest is narrow."""
        alike = dict.fromkeys(range(self.clients), 1.0)
        mix = {k: WIDTHS[k % len(WIDTHS)] for k in alike}
        sides = {"wide": (1.0, alike), "mix": (1.0, mix), "narrow": (WIDTHS[-1], alike)}
        figures: dict[str, float] = {}
        for name, (widest, widths) in sides.items():
            figures[f"{name} error"] = self.error(widest, widths, seed)
            sizes = [n_parameters(network(widest, r)) for r in widths.values()]
            figures[f"{name} size"] = sum(sizes) / len(sizes)
        return figures

    def error(self, widest: float, widths: Mapping[int, float], seed: int) -> float:
        """Train, measure statistics on public images, and test the common model."""
        digits = mnist_sample()
        x, y = (part[Stream.replay(seed).permutation(5000)] for part in digits.train)
        parts = iid(y[PUBLIC:], self.clients, generator=seed)
        make = partial(network, widest)
        federation = Federation(
            started(lambda: make(1.0), seed),
            [(x[PUBLIC:][rows], y[PUBLIC:][rows]) for rows in parts],
            Pipeline(),
            loss=LOSS,
            algorithm=HeteroFL(make, widths),
            local=LocalSGD(lr=self.lr, batch_size=50),
            generator=replayed(seed),
        )
        for _ in federation.rounds(self.rounds):
            pass
        return 100 - accuracy(measured(federation.model, x[:PUBLIC].split(100)), digits.test)


def network(widest: float, width: float) -> nn.Module:
    """Make a small convolutional network with ``width`` of the channels of the widest one."""
    a, b = int(16 * widest * width), int(32 * widest * width)
    layers = [
        *(nn.Conv2d(1, a, 5, stride=2, padding=2), Scaler(width), nn.BatchNorm2d(a), nn.ReLU()),
        *(nn.Conv2d(a, b, 5, stride=2, padding=2), Scaler(width), nn.BatchNorm2d(b), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(49 * b, 10)),
    ]
    return static_batch_norm(nn.Sequential(*layers))


def n_parameters(model: nn.Module) -> int:
    """Count."""
    return sum(weights.numel() for weights in model.parameters())
