"""Images read off the gradient of a linear first layer."""

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from privfl.attacks.inversion._certificate import certify
from privfl.attacks.inversion._evidence import blind_image, rows_of
from privfl.attacks.inversion._fitted import fitted, loudness
from privfl.attacks.inversion._layers import Call, Trace, piece_of
from privfl.attacks.inversion._ratios import candidates_of
from privfl.attacks.inversion._reconstruction import Reconstruction
from privfl.crypto import Stream
from privfl.views import Knowledge, View

DROWNED = 1000.0  # times the noise: ratios below it are worse than the fit, from two images on


@dataclass(frozen=True)
class LinearInversion:
    """Read images off the gradient of a linear first layer, in closed form.

    The gradient of neuron j is ``sum_i dz_ij * (x_i, 1)``, so weight over bias is the image itself
    where one image alone activates the neuron (Phong et al. 2018, https://eprint.iacr.org/2017/715).
    Neurons that give one image to within rounding are gathered, and the ``n_images`` best
    candidates are returned; those that view and model prove exact are certified, see `certify`.

    Where the declared noise drowns the ratios, the images are fitted by least squares instead, to
    the bias gradients that the labels let expect: see `fitted`.

    A sum of k clients is one gradient of all their images; a clip cancels in the ratio. An update
    of several steps is taken for one.

    Guarantees:
        - One image, one step, no noise: exact to rounding, and certified if that is small.
        - What is certified is one of the images, to a per cent: measured, see `certify`.
        - The outcome depends on view and knowledge alone.

    >>> LinearInversion()
    LinearInversion()
    """

    def __call__(self, view: View, knowledge: Knowledge, generator: Stream) -> Reconstruction:
        """Attack every row of the view.

        Raises:
            NotApplicable: without opened rows, for a model that starts with anything but a linear
                layer with a bias, or where noise drowns the ratios and no labels are known.
        """
        del generator
        started = time.perf_counter()
        rows, trace = rows_of(view, knowledge), Trace.of(knowledge)
        layer = trace.first_linear
        weight = -piece_of(rows, knowledge, layer.tensor("weight")).double()
        bias = -piece_of(rows, knowledge, layer.tensor("bias")).double()
        if loudness(bias, knowledge.noise_std) < DROWNED:
            images = fitted(weight, bias, knowledge, layer.tensor("bias"))
            certified = torch.zeros(images.shape[:2], dtype=torch.bool, device=images.device)
        else:
            images, certified = _read_off(weight, bias, knowledge, trace)
        return Reconstruction(
            images.clamp(0, 1).reshape(*certified.shape, *knowledge.shape).to(rows),
            loss=_unexplained(weight, images).to(rows),
            certified=certified,
            seconds=time.perf_counter() - started,
            strength="closed form",
        )


def _read_off(
    weight: Tensor, bias: Tensor, knowledge: Knowledge, trace: Trace
) -> tuple[Tensor, Tensor]:
    """Take the best candidates of each row; the blind guess stands where there are too few."""
    n, spread = knowledge.n_images, _spread(knowledge, trace.first_linear)
    blind = blind_image(knowledge).flatten().to(weight)
    images = blind.expand(len(weight), n, -1).clone()
    certified = torch.zeros(len(weight), n, dtype=torch.bool, device=weight.device)
    for row in range(len(weight)):
        found = candidates_of(weight[row], bias[row], spread)
        proved = certify(found, bias[row], row, knowledge, trace)
        for k, candidate in enumerate(found[:n]):
            images[row, k] = candidate.image
            certified[row, k] = proved[k]
    return images, certified


def _spread(knowledge: Knowledge, layer: Call) -> float:
    """Return the error of a coordinate: the declared noise, and the rounding of weights."""
    largest = max(float(p.detach().abs().max()) for p in layer.layer.parameters())
    eps = torch.finfo(layer.given.dtype).eps
    return math.hypot(knowledge.noise_std, largest * eps / 2 * math.sqrt(knowledge.n_clients))


def _unexplained(weight: Tensor, images: Tensor) -> Tensor:
    """Return the share of the gradient's square that no mixture of the images explains."""
    rest: Tensor = weight - weight @ torch.linalg.pinv(images) @ images
    whole = weight.square().sum(dim=(1, 2))
    return rest.square().sum(dim=(1, 2)) / whole.where(whole > 0, whole.new_ones(()))
