"""The honest mean, backwards."""

from dataclasses import KW_ONLY, dataclass

from torch import Tensor

from privfl.attacks.poisoning._poisoning import UpdatePoisoning
from privfl.core import require_positive


@dataclass(frozen=True)
class SignFlip(UpdatePoisoning):
    """Send minus ``scale`` times the honest mean: (m, d) -> (n_byzantine, d).

    At scale 1 the vector hides among the honest ones and hurts selection; at 5 it drags an average
    backwards. Some libraries flip each attacker's own update instead: another attack.

    >>> import torch
    >>> SignFlip(2.0, n_byzantine=2)(torch.tensor([[1.0], [3.0]]))
    tensor([[-4.],
            [-4.]])
    """

    scale: float = 1.0
    _: KW_ONLY
    n_byzantine: int

    def __post_init__(self) -> None:
        """Refuse a scale that flips nothing."""
        super().__post_init__()
        require_positive("scale", self.scale)

    def strength(self, n: int) -> str:
        """Name the scale."""
        del n
        return f"scale {self.scale:g}"

    def vector(self, honest: Tensor, n: int) -> Tensor:
        """Turn the mean round: (m, d) -> (d,)."""
        del n
        return -self.scale * honest.mean(dim=0)
