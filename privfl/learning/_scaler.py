"""What makes hidden layers of different widths fit together."""

from torch import Tensor, nn

from privfl.core import require_positive


class Scaler(nn.Module):
    """Divide by the width while training, so that narrow layers feed on what wide ones would.

    Diao et al. 2021 (HeteroFL, https://arxiv.org/abs/2010.01264), section 3: it stands behind each
    hidden layer, in front of its normalisation, and does nothing in evaluation.

    >>> import torch
    >>> Scaler(0.5)(torch.ones(1))
    tensor([2.])
    """

    def __init__(self, width: float) -> None:
        """Remember the width, in (0, 1]."""
        super().__init__()
        require_positive("width", width)
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """Scale in training mode only: same shape."""
        return x / self.width if self.training else x
