"""The one place where per-example gradients are clipped, summed and noised."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from privfl.crypto import Stream


def norms_of(gradients: Sequence[Tensor]) -> Tensor:
    """Return the joint L2 norm of each example's gradient: (n, *shape) of each weight -> (n,)."""
    each = [torch.linalg.vector_norm(flat(g), dim=1, dtype=_wide(g)) for g in gradients]
    return joint(each)


def joint(norms: Sequence[Tensor]) -> Tensor:
    """Return the norm over all weights from the norms of each: (n,) each -> (n,)."""
    return torch.stack(list(norms)).square().sum(dim=0).sqrt()


def factors_of(norms: Tensor, clip_norm: float) -> Tensor:
    """Return what each example's gradient is multiplied by: (n,) -> (n,), 0 for non-finite ones.

    A part in a million less than the quotient: float32 norms are rounded by about as much.
    """
    factors = (clip_norm * (1 - 1e-6) / norms).clamp(max=1)
    return factors.where(norms.isfinite(), factors.new_zeros(()))


def clipped_sum(gradients: Sequence[Tensor], clip_norm: float) -> list[Tensor]:
    """Clip each example's gradient to ``clip_norm`` and add them up: (n, *shape) -> (*shape).

    A non-finite gradient counts as zero (rule R1), so one broken example spoils itself only.
    """
    norms = norms_of(gradients)
    factors, kept = factors_of(norms, clip_norm), norms.isfinite()
    if not bool(kept.all()):  # zero times infinity is not zero
        gradients, factors = [g[kept] for g in gradients], factors[kept]
    return [(factors.to(g.dtype) @ flat(g)).view(g.shape[1:]) for g in gradients]


def flat(gradient: Tensor) -> Tensor:
    """View (n, *shape) as (n, d); weights without dimensions and no examples at all included."""
    return gradient.reshape(len(gradient), math.prod(gradient.shape[1:]))


def add_noise_to_all(sums: Sequence[Tensor], std: float, generator: Stream) -> list[Tensor]:
    """Add independent Gaussian noise of ``std`` to each coordinate, drawn in float64 at once."""
    noise = generator.normal((sum(x.numel() for x in sums),)) * std
    pieces = noise.split([x.numel() for x in sums])
    return [x + piece.view(x.shape).to(x) for x, piece in zip(sums, pieces, strict=True)]


def _wide(gradient: Tensor) -> torch.dtype:
    return torch.promote_types(gradient.dtype, torch.float32)  # squares of float16 overflow at 256
