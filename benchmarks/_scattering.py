"""Features of digit images that no data chose: a scattering transform of depth two.

Fixed oriented Morlet wavelets at two scales and eight angles, a modulus, the coarser wavelets on
what the finer ones left, a modulus, and a low-pass (Bruna & Mallat 2013,
https://arxiv.org/abs/1203.1513; with private training Tramèr & Boneh 2021,
https://arxiv.org/abs/2011.11660). Nothing is learned and nothing is measured over images, so the
features of one image depend on that image only and cost no privacy.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d, group_norm

ANGLES = 8
CHANNELS = 1 + 2 * ANGLES + ANGLES**2  # 81: the image, both scales, the finer then the coarser
FEATURES = CHANNELS * 7 * 7
GROUPS = 27  # of three channels, as Tramèr & Boneh have them where they group


def features_of(images: Tensor, at_once: int = 500) -> Tensor:
    """Map images to vectors of length about 60, each on its own: (n, 1, 28, 28) -> (n, 3969)."""
    return torch.cat([_normalised(scattering(x)) for x in images.split(at_once)])


def scattering(images: Tensor) -> Tensor:
    """Return 81 channels on a grid of 7 by 7: (n, 1, 28, 28) -> (n, 81, 7, 7)."""
    fine = _moduli(images, scale=0)
    coarse = _moduli(images, scale=1)
    # a modulus moves energy to lower frequencies, so a finer wavelet after a coarser finds nothing
    both = _moduli(fine.flatten(0, 1).unsqueeze(1), scale=1).unflatten(0, fine.shape[:2])
    levels = (images, fine, coarse, both.flatten(1, 2))
    return torch.cat([_blurred(level) for level in levels], dim=1)


def morlet(scale: int, angle: float) -> tuple[Tensor, Tensor]:
    """Return real and imaginary part of a wavelet of mean zero, `(size, size)` each.

    An oval Gaussian, twice as long as wide, times a wave across it, less the multiple of the
    Gaussian that makes the mean zero: an even grey says nothing.
    """
    width = 0.8 * 2**scale
    radius = math.ceil(3 * 2 * width)
    grid = torch.arange(-radius, radius + 1, dtype=torch.float64)
    v, u = torch.meshgrid(grid, grid, indexing="ij")
    across = u * math.cos(angle) + v * math.sin(angle)
    along = v * math.cos(angle) - u * math.sin(angle)
    bell = (-(across**2 + along**2 / 4) / (2 * width**2)).exp()
    phase = 3 * math.pi / 4 / 2**scale * across
    real = bell * (phase.cos() - (bell * phase.cos()).sum() / bell.sum())
    return real / (2 * bell.sum()), bell * phase.sin() / (2 * bell.sum())


def _moduli(x: Tensor, scale: int) -> Tensor:
    """Return the envelope of each orientation: (n, 1, h, h) -> (n, 8, h / 2^scale, …)."""
    pairs = [morlet(scale, math.pi * k / ANGLES) for k in range(ANGLES)]
    real, imaginary = (torch.stack(part).unsqueeze(1).to(x) for part in zip(*pairs, strict=True))
    padding, stride = real.shape[-1] // 2, 2**scale
    return torch.hypot(
        conv2d(x, real, None, stride, padding), conv2d(x, imaginary, None, stride, padding)
    )


def _blurred(x: Tensor) -> Tensor:
    """Average around each point of the grid of 7 by 7: (n, c, h, h) -> (n, c, 7, 7)."""
    stride = x.shape[-1] // 7
    grid = torch.arange(3 * stride, dtype=torch.float64) - (3 * stride - 1) / 2
    bell = (-(grid**2) / (2 * (0.4 * stride) ** 2)).exp()
    kernel = torch.outer(bell, bell) / bell.sum() ** 2
    flat = x.flatten(0, 1).unsqueeze(1)
    return conv2d(flat, kernel.to(x)[None, None], None, stride, stride).view(*x.shape[:2], 7, 7)


def _normalised(x: Tensor) -> Tensor:
    """Give each group of channels of each image mean zero and variance one: -> (n, 3969)."""
    return group_norm(x, GROUPS, eps=1e-7).flatten(1)  # far below the weakest channels
