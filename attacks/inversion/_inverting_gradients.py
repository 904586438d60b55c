"""Images whose gradient points where the update points."""

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vmap

from privfl.attacks.inversion._evidence import labels_of, rows_of
from privfl.attacks.inversion._gradient import gradient_of
from privfl.attacks.inversion._reconstruction import Reconstruction
from privfl.core import require, require_count, require_positive
from privfl.crypto import Stream
from privfl.views import Knowledge, View

MOMENTUM = 0.9
DROPS = (3 / 8, 5 / 8, 7 / 8)  # of the way, where the step falls tenfold: the paper's schedule
TURN = 10.0  # e-folds a search: its weight can go from end to end, and back, several times


@dataclass(frozen=True)
class InvertingGradients:
    """Search for images whose gradient points where the update points.

    Minimises ``1 - cosine(gradient(images), -update) + weight * TV(images)`` by signed gradient
    steps within [0, 1] (Geiping et al. 2020, https://arxiv.org/abs/2003.14053, section 4; Adam on a
    sign is momentum, as its second moment is 1). The cosine does not see a clip, a learning rate or
    a number of summed clients, so one client's update and a sum are attacked alike: a sum of k
    clients is one gradient of all their images. An update of several steps is taken for one
    gradient. All rows are searched at once, in one vmapped batch.

    The total variation weight is found by the discrepancy principle (Morozov 1966): the true images
    match a noisy update only up to the noise, so a search that matches better is fitting noise. A
    row's weight therefore rises while its loss is below `expected_loss` and falls while it is
    above, between the two ends of ``total_variation``. Without noise it falls to the lower end;
    nothing but the view and the declared ``noise_std`` is used.

    Args:
        iterations: steps of the search.
        learning_rate: first step size, in pixel values.
        total_variation: least and greatest weight; (w, w) fixes it.

    Guarantees:
        - Images stay in [0, 1].
        - Rescaling the rows does not change the images.
        - The outcome depends on view, knowledge and generator alone.

    >>> InvertingGradients(iterations=100)
    InvertingGradients(iterations=100, learning_rate=0.1, total_variation=(0.02, 0.2))
    """

    iterations: int = 300
    learning_rate: float = 0.1
    total_variation: tuple[float, float] = (0.02, 0.2)

    def __post_init__(self) -> None:
        """Refuse settings that cannot search."""
        require_count("iterations", self.iterations, least=1)
        require_positive("learning_rate", self.learning_rate)
        ends = self.total_variation
        good = len(ends) == 2 and 0 <= ends[0] <= ends[1]
        require(good, "total_variation must be two weights, the lesser first", ends)

    def __call__(self, view: View, knowledge: Knowledge, generator: Stream) -> Reconstruction:
        """Attack every row of the view.

        Raises:
            NotApplicable: without opened rows, or without labels.
        """
        started = time.perf_counter()
        rows = rows_of(view, knowledge)
        labels = labels_of(knowledge, len(rows))
        matching = _Matching(knowledge, rows, labels)
        floor = expected_loss(rows, knowledge.noise_std)
        images = self._search(matching, floor, _start(rows, knowledge, generator))
        return Reconstruction(
            images,
            loss=matching(images).detach(),
            certified=torch.zeros_like(labels, dtype=torch.bool),
            seconds=time.perf_counter() - started,
            strength=f"{self.iterations} iterations, TV {self._ends}",
            budget=self.iterations,
        )

    def _search(self, matching: "_Matching", floor: float, images: Tensor) -> Tensor:
        least, greatest = self.total_variation
        turn = min(TURN / self.iterations, 0.5)
        weight = images.new_full((len(images),), greatest)
        pace = torch.zeros_like(images)
        for step in range(self.iterations):
            images = images.requires_grad_()
            loss = matching(images)
            objective = (loss + weight * total_variation(images)).sum()
            (slope,) = torch.autograd.grad(objective, images)
            pace = MOMENTUM * pace + (1 - MOMENTUM) * slope.sign()
            ahead = self._step(step) * pace / (1 - MOMENTUM ** (step + 1))
            images = (images.detach() - ahead).clamp(0, 1)
            overfits = loss.detach() < floor
            weight = (weight * (1 - turn + 2 * turn * overfits)).clamp(least, greatest)
        return images

    def _step(self, step: int) -> float:
        passed = sum(step >= self.iterations * drop for drop in DROPS)
        return self.learning_rate * 0.1**passed

    @property
    def _ends(self) -> str:
        return " to ".join(f"{end:g}" for end in dict.fromkeys(self.total_variation))


class _Matching:
    """Map images (rows, n, *shape) to one loss a row: one less the cosine to its direction."""

    def __init__(self, knowledge: Knowledge, rows: Tensor, labels: Tensor) -> None:
        self.labels = labels
        self.target = -rows / rows.norm(dim=1, keepdim=True).clamp(min=_tiny(rows))
        gradient = gradient_of(knowledge)

        def loss(images: Tensor, labels: Tensor, target: Tensor) -> Tensor:
            made = gradient(images, labels)
            cosine: Tensor = torch.dot(made, target) / made.norm().clamp(min=_tiny(made))
            return 1 - cosine

        self.losses = vmap(loss)

    def __call__(self, images: Tensor) -> Tensor:
        losses: Tensor = self.losses(images, self.labels, self.target)
        return losses


def expected_loss(rows: Tensor, noise_std: float) -> float:
    """Return the loss that true images have by reason of the noise alone.

    Noise of standard deviation ``noise_std`` adds ``d * noise_std^2`` to a row's squared norm and
    is all but orthogonal to the signal, so their cosine is signal norm over row norm. It is taken
    over all rows (rows, d) together: one row's norm is too rough where noise prevails.
    """
    squared = float(rows.square().sum(dim=1).mean())
    noise = rows.shape[1] * noise_std**2
    return 1 - math.sqrt(max(1 - noise / squared, 0.0)) if squared > 0 else 0.0


def total_variation(images: Tensor) -> Tensor:
    """Return the mean step between neighbouring pixels: (rows, n, ..., h, w) -> (rows,)."""
    axes = range(1, 1 + min(images.ndim - 2, 2))
    steps = [images.diff(dim=-k).abs().flatten(1).mean(dim=1) for k in axes]
    return torch.stack(steps).sum(dim=0)


def _start(rows: Tensor, knowledge: Knowledge, generator: Stream) -> Tensor:
    shape = (len(rows), knowledge.n_images, *knowledge.shape)
    return generator.uniform(shape, like=rows)


def _tiny(x: Tensor) -> float:
    return torch.finfo(x.dtype).tiny
