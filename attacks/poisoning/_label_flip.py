"""Labels turned round."""

from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from privfl.attacks.poisoning._poisoning import DataPoisoning
from privfl.core import require, require_count

_WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


@dataclass(frozen=True)
class LabelFlip(DataPoisoning):
    """Train with label y turned into ``n_classes - 1 - y``.

    The static flip of Tolpegin et al. 2020 (https://arxiv.org/abs/2007.08432) for all classes at
    once, as in Fang et al. 2020 (https://arxiv.org/abs/1911.11815).

    >>> LabelFlip(n_byzantine=1, n_classes=3).poison(torch.tensor([0, 1, 2]))
    tensor([2, 1, 0])
    """

    _: KW_ONLY
    n_byzantine: int
    n_classes: int = 10

    def __post_init__(self) -> None:
        """Refuse to flip fewer than two classes."""
        super().__post_init__()
        require_count("n_classes", self.n_classes, least=2)

    def strength(self, n: int) -> str:
        """Say what becomes of a label."""
        del n
        return f"y -> {self.n_classes - 1} - y"

    def poison(self, labels: Tensor) -> Tensor:
        """Flip labels (k,), whole numbers below ``n_classes``: -> (k,)."""
        wanted = f"labels must be a tensor of whole numbers from 0 to {self.n_classes - 1}"
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        require(kind in _WHOLE, wanted, kind)
        inside = bool(((labels >= 0) & (labels < self.n_classes)).all())
        require(inside, wanted, "labels outside", "Set n_classes")
        return self.n_classes - 1 - labels
