"""A small step against the honest mean."""

from dataclasses import KW_ONLY, dataclass

from torch import Tensor

from privfl.attacks.poisoning._poisoning import UpdatePoisoning
from privfl.core import require_positive


@dataclass(frozen=True)
class IPM(UpdatePoisoning):
    """Send minus ``epsilon`` times the honest mean, so that inner products turn negative.

    Inner product manipulation (Xie et al. 2020, https://arxiv.org/abs/1903.03936). A small epsilon
    keeps the vector near all honest ones, where `Krum` picks it; a mean is reversed only from
    ``n_byzantine * epsilon > m`` on.

    >>> import torch
    >>> IPM(0.5, n_byzantine=1)(torch.tensor([[1.0], [3.0]]))
    tensor([[-1.]])
    """

    epsilon: float = 0.1
    _: KW_ONLY
    n_byzantine: int

    def __post_init__(self) -> None:
        """Refuse an epsilon that manipulates nothing."""
        super().__post_init__()
        require_positive("epsilon", self.epsilon)

    def strength(self, n: int) -> str:
        """Name epsilon."""
        del n
        return f"epsilon {self.epsilon:g}"

    def vector(self, honest: Tensor, n: int) -> Tensor:
        """Step back from the mean: (m, d) -> (d,)."""
        del n
        return -self.epsilon * honest.mean(dim=0)
