"""How close a reconstruction is, in numbers that a picture would show."""

import torch
from torch import Tensor

CAP = 200.0  # dB: beyond float32; an exact image would be infinite


def psnr(images: Tensor, truth: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each pair: (k, *shape) twice -> (k,) in dB.

    Pixels are in [0, 1]. Capped at 200 dB.

    >>> psnr(torch.zeros(2, 4, 4), torch.stack([torch.zeros(4, 4), torch.full((4, 4), 0.1)]))
    tensor([200.0000,  20.0000], dtype=torch.float64)
    """
    error = (images.double() - truth.double()).square().flatten(1).mean(dim=1)
    return (-10 * error.log10()).clamp(max=CAP)


def relative_error(images: Tensor, truth: Tensor) -> Tensor:
    """Return the norm of each error over the norm of the image: (k, *shape) twice -> (k,).

    >>> relative_error(torch.ones(1, 4, 4), torch.full((1, 4, 4), 2.0))
    tensor([0.5000], dtype=torch.float64)
    """
    error, size = (images.double() - truth.double()).flatten(1), truth.double().flatten(1)
    return error.square().sum(dim=1).sqrt() / size.square().sum(dim=1).sqrt()


def blind_images(truth: Tensor, prior: Tensor | None = None) -> Tensor:
    """Guess without a view: the mean of public images (m, *shape), mid-grey without any.

    -> as many copies as ``truth`` (k, *shape) has images; nothing else of it is used.
    """
    if prior is None:
        return torch.full_like(truth, 0.5)
    return prior.mean(dim=0).to(truth).expand_as(truth)
