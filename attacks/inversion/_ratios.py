"""Images out of the ratios of a linear layer's weight gradient to its bias gradient."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

AGREED = 2  # neurons that must give one image before it is certified
NEARBY = 0.01  # relative distance: images of one label mix alike in all neurons, to about 1 %
CLEAR = 0.1  # relative error above which a ratio says nothing
INK = 1e-3  # pixel value that counts as drawn


@dataclass(frozen=True)
class Candidate:
    """Hold what a set of neurons takes for one image.

    Attributes:
        image: (p,) their mean, weighted by precision.
        n_neurons: how many agree on it.
        certified: whether enough agree to within rounding, and none nearly does.
    """

    image: Tensor = field(repr=False)
    n_neurons: int
    certified: bool

    @property
    def rank(self) -> tuple[int, bool, int, float]:
        """Sort key: agreed images first, then those in [0, 1], then the least mixed.

        A mixture of images has ink wherever one of them has it, and less contrast.
        """
        outside = float((self.image - self.image.clamp(0, 1)).norm() / self.image.norm())
        alone = -self.n_neurons if self.n_neurons >= AGREED else 0
        ink = int((self.image.abs() > INK).sum())
        return (alone, outside > INK, ink, -float(self.image.var()))


def candidates_of(weight: Tensor, bias: Tensor, spread: float) -> list[Candidate]:
    """Gather neurons that agree on an image, the best candidate first.

    The gradient of neuron j is a sum over images of ``dz_ij * (x_i, 1)``: where one image alone
    activates it, weight over bias is that image, and otherwise a mixture.

    Args:
        weight: (m, p) gradient of the weights.
        bias: (m,) gradient of the biases.
        spread: standard deviation of the error on each coordinate.
    """
    ratios, errors = _clear_ratios(weight, bias, spread)
    if not len(ratios):
        return []
    distance = torch.cdist(ratios, ratios, compute_mode="donot_use_mm_for_euclid_dist")
    agree = distance <= errors[:, None] + errors
    near = distance <= NEARBY * ratios.norm(dim=1, keepdim=True)
    left, found = torch.ones_like(errors, dtype=torch.bool), []
    while left.any():
        size = (agree & left).sum(dim=1) * left
        centre = int((size - size.sign() * errors / (2 * errors.max())).argmax())
        members = agree[centre] & left
        certified = int(members.sum()) >= AGREED and not bool((near[centre] & ~members).any())
        found.append(Candidate(_mean(ratios, errors, members), int(members.sum()), certified))
        left &= ~members
    return sorted(found, key=lambda candidate: candidate.rank)


def _clear_ratios(weight: Tensor, bias: Tensor, spread: float) -> tuple[Tensor, Tensor]:
    """Return the ratios that say something, with their errors: -> (k, p), (k,)."""
    active = bias != 0
    ratios = weight[active] / bias[active, None]
    norms = ratios.norm(dim=1)
    arithmetic = 8 * torch.finfo(torch.float32).eps * norms  # of the client's own gradient
    errors = 4 * (spread * (math.sqrt(weight.shape[1]) + norms) / bias[active].abs() + arithmetic)
    clear = (errors < CLEAR * norms) & torch.isfinite(ratios).all(dim=1)
    return ratios[clear], errors[clear]


def _mean(ratios: Tensor, errors: Tensor, members: Tensor) -> Tensor:
    precision = errors[members].pow(-2)
    return precision @ ratios[members] / precision.sum()
