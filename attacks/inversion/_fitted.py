"""Images by least squares, where noise drowns the ratios of a linear layer."""

import torch
from torch import Tensor
from torch.func import vmap

from privfl.attacks.inversion._evidence import blind_image, labels_of
from privfl.attacks.inversion._gradient import gradient_of
from privfl.attacks.inversion._layers import piece_of
from privfl.views import Knowledge

AUDIBLE = 3.0  # times the noise: below it an observed bias gradient is worse than an expected one


def loudness(bias: Tensor, noise_std: float) -> float:
    """Return the root mean square of bias gradients over the noise on each coordinate."""
    return float(bias.square().mean().sqrt()) / noise_std if noise_std > 0 else float("inf")


def fitted(weight: Tensor, bias: Tensor, knowledge: Knowledge, bias_name: str) -> Tensor:
    """Solve ``weight = bias gradients.T @ images``: (rows, m, p), (rows, m) -> (rows, n, p).

    The bias gradient of one image is observed. Where noise covers it, or several images share it,
    it is what the model would give for each label at the blind guess; the scale is then unknown
    (the row may be clipped), and the brightest pixel is set to 1.
    """
    if knowledge.n_images == 1 and loudness(bias, knowledge.noise_std) > AUDIBLE:
        return _solved(bias[:, None], weight)
    images = _solved(_expected(knowledge, len(bias), bias_name), weight)
    return images / images.amax(dim=2, keepdim=True).clamp(min=torch.finfo(images.dtype).tiny)


def _solved(factors: Tensor, weight: Tensor) -> Tensor:
    images: Tensor = torch.linalg.pinv(factors.mT) @ weight  # equal labels: rank falls, they share
    return images


def _expected(knowledge: Knowledge, n_rows: int, bias_name: str) -> Tensor:
    """Return the model's bias gradient for each label at the blind guess: -> (rows, n, m)."""
    labels = labels_of(knowledge, n_rows)
    blind = blind_image(knowledge)
    alone = labels.reshape(-1, 1)
    gradients = vmap(gradient_of(knowledge), in_dims=(None, 0))(blind[None], alone)
    expected: Tensor = piece_of(gradients, knowledge, bias_name).double()
    return expected.reshape(*labels.shape, -1)
