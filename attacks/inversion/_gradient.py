"""The gradient of a model at given images, as one row of a view would hold it."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, replace_all_batch_norm_modules_

from privfl.views import Knowledge

Gradient = Callable[[Tensor, Tensor], Tensor]


def copy_of(model: nn.Module) -> nn.Module:
    """Copy a model; dropout is off, and batch norm uses the statistics of the batch."""
    copied: nn.Module = replace_all_batch_norm_modules_(copy.deepcopy(model).eval())
    return copied


def gradient_of(knowledge: Knowledge) -> Gradient:
    """Return the map from images (n, *shape) and labels (n,) to the mean gradient (dim,).

    It can be vmapped over sets of images and differentiated in the images.
    """
    model = copy_of(knowledge.model)
    trained = [e.name for e in knowledge.layout.entries if e.kind == "parameter" and not e.tied_to]
    parameters = {name: model.get_parameter(name).detach() for name in trained}

    def gradient(images: Tensor, labels: Tensor) -> Tensor:
        def loss(at: dict[str, Tensor]) -> Tensor:
            return knowledge.loss(functional_call(model, at, (images,)), labels)

        return torch.cat([part.reshape(-1) for part in grad(loss)(parameters).values()])

    return gradient
