"""Which reconstruction is taken for which image."""

import torch
from torch import Tensor


def correlation(images: Tensor, others: Tensor) -> Tensor:
    """Correlate pixels of every pair: (k, *shape), (m, *shape) -> (k, m) in [-1, 1].

    A constant image correlates with nothing.

    >>> correlation(torch.eye(2), 3 + torch.eye(2)).round()
    tensor([[ 1., -1.],
            [-1.,  1.]], dtype=torch.float64)
    """
    return centred(images) @ centred(others).T


def assign(correlations: Tensor) -> tuple[Tensor, Tensor]:
    """Pair reconstructions with images so that the summed correlation is greatest.

    ``correlations`` is (reconstructions, images); as many pairs as its shorter side has are
    returned as (rows, columns): reconstruction ``rows[i]`` is taken for image ``columns[i]``.

    Guarantees:
        - A perfect batch in any order is paired exactly, with more images or reconstructions too.

    >>> assign(torch.tensor([[0.1, 0.9, 0.2], [0.2, 0.8, 0.7]]))
    (tensor([0, 1]), tensor([1, 2]))
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(correlations.detach().cpu().numpy(), maximize=True)
    return torch.from_numpy(rows), torch.from_numpy(columns)


def in_order(images: Tensor, truth: Tensor) -> Tensor:
    """Put reconstructions (k, *shape) into the order of the images (k, *shape) they stand for."""
    rows, columns = assign(correlation(images, truth))
    return images[rows[columns.argsort()]]


def centred(images: Tensor) -> Tensor:
    """Return each image less its mean, with norm 1: (k, *shape) -> (k, pixels) float64."""
    flat = images.detach().double().flatten(1)
    flat = flat - flat.mean(dim=1, keepdim=True)
    norm = flat.square().sum(dim=1, keepdim=True).sqrt()
    return flat / norm.clamp(min=1e-9)  # a constant image is left with rounding of about 1e-14
