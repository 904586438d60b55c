"""Batch normalisation without running statistics."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def static_batch_norm(model: nn.Module) -> nn.Module:
    """Let every BatchNorm of ``model`` use the batch's own statistics and keep none, in place.

    Diao et al. 2021, section 3: running statistics of different widths cannot be averaged. For
    evaluation, `measured` writes those of some data into the model.

    >>> static_batch_norm(nn.BatchNorm1d(2)).running_mean is None
    True
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None
    return model


def measured(model: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """Return a copy of ``model`` for evaluation, with mean statistics over ``batches`` of inputs.

    What is measured on clients' data says something about them: measure on public data, or count
    it as a release (rule R15).
    """
    model = copy.deepcopy(model)
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for module in norms:
        module.track_running_stats, module.momentum = True, None  # a plain mean over the batches
        module.register_buffer("running_mean", torch.zeros(module.num_features))
        module.register_buffer("running_var", torch.ones(module.num_features))
        module.register_buffer("num_batches_tracked", torch.tensor(0))
    model.eval()  # a Scaler or dropout that trains would change what is measured
    for module in norms:
        module.train()
    with torch.no_grad():
        for x in batches:
            model(x)
    return model.eval()
