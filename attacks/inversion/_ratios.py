"""Images out of the ratios of a linear layer's weight gradient to its bias gradient."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

AGREED = 2  # neurons: one alone cannot tell an image from a mixture
NEARBY = 0.01  # relative distance: images of one label mix alike in all neurons, to about 1 %
CLEAR = 0.1  # relative error above which a ratio says nothing
SURE = 0.001  # relative error above which an agreement proves nothing
INK = 1e-3  # pixel value that counts as drawn


@dataclass(frozen=True)
class Candidate:
    """Hold what a set of neurons takes for one image.

    Attributes:
        image: (p,) their mean, weighted by precision.
        neurons: positions of those that agree on it to within rounding.
        agreed: whether two or more do, with errors below a thousandth, and none nearly does.
    """

    image: Tensor = field(repr=False)
    neurons: Tensor = field(repr=False)
    agreed: bool

    @property
    def rank(self) -> tuple[int, bool, int, float]:
        """Sort key: agreed images first, then those in [0, 1], then the least mixed.

        A mixture of images has ink wherever one of them has it, and less contrast.
        """
        outside = float((self.image - self.image.clamp(0, 1)).norm() / self.image.norm())
        alone = -len(self.neurons) if len(self.neurons) >= AGREED else 0
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
    clear, ratios, errors = _clear_ratios(weight, bias, spread)
    if not len(ratios):
        return []
    norms = ratios.norm(dim=1)
    distance = torch.cdist(ratios, ratios, compute_mode="donot_use_mm_for_euclid_dist")
    agree = distance <= errors[:, None] + errors
    near = distance <= NEARBY * norms[:, None]
    left, found = torch.ones_like(errors, dtype=torch.bool), []
    while left.any():
        size = (agree & left).sum(dim=1) * left
        centre = int((size - size.sign() * errors / (2 * errors.max())).argmax())
        members = agree[centre] & left
        sure = int((members & (errors < SURE * norms)).sum()) >= AGREED
        agreed = sure and not bool((near[centre] & ~members).any())
        found.append(Candidate(_mean(ratios, errors, members), clear[members], agreed))
        left &= ~members
    return sorted(found, key=lambda candidate: candidate.rank)


def _clear_ratios(weight: Tensor, bias: Tensor, spread: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return which neurons say something, their ratios and errors: -> (k,), (k, p), (k,)."""
    active = bias.nonzero().flatten()
    ratios = weight[active] / bias[active, None]
    norms = ratios.norm(dim=1)
    arithmetic = 8 * torch.finfo(torch.float32).eps * norms  # of the client's own gradient
    errors = 4 * (spread * (math.sqrt(weight.shape[1]) + norms) / bias[active].abs() + arithmetic)
    clear = (errors < CLEAR * norms) & torch.isfinite(ratios).all(dim=1)
    return active[clear], ratios[clear], errors[clear]


def _mean(ratios: Tensor, errors: Tensor, members: Tensor) -> Tensor:
    precision = errors[members].pow(-2)
    return precision @ ratios[members] / precision.sum()
