"""A loss that leaves unseen classes alone."""

import torch
from torch import Tensor

from privfl.parts import Loss


def masked(loss: Loss, labels: Tensor) -> Loss:
    """Return ``loss`` on outputs whose classes outside of ``labels`` are set to 0.

    The masked cross-entropy of Diao et al. 2021, section 3: a client does not push down the classes
    that it never sees.

    >>> from torch import nn
    >>> gap = masked(nn.functional.cross_entropy, torch.tensor([0, 2]))
    >>> x = torch.tensor([[0.0, 50.0, 0.0]])
    >>> round(float(gap(x, torch.tensor([0]))), 4)  # log 3: as if nobody had said 50
    1.0986
    """
    seen = labels.unique()

    def masked_loss(outputs: Tensor, y: Tensor) -> Tensor:
        keep = torch.zeros(outputs.shape[1], dtype=torch.bool, device=outputs.device)
        keep[seen.to(outputs.device)] = True
        return loss(outputs.masked_fill(~keep, 0), y)

    return masked_loss
