"""The two shapes of poisoning."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from privfl.core import require_count, require_finite, require_matrix


class Poisoning(ABC):
    """Speak for ``n_byzantine`` clients. Subclasses are frozen dataclasses.

    Attributes:
        n_byzantine: how many clients attack; they stand together.

    >>> from privfl.attacks.poisoning import SignFlip
    >>> SignFlip(5.0, n_byzantine=2).strength(n=10)
    'scale 5'
    """

    n_byzantine: int

    def __post_init__(self) -> None:
        """Refuse an attack by nobody."""
        require_count("n_byzantine", self.n_byzantine, least=1)

    @abstractmethod
    def strength(self, n: int) -> str:
        """Say how strong it is among ``n`` clients, for reports; a name alone does not."""


class DataPoisoning(Poisoning):
    """Train on other labels, and obey otherwise.

    >>> from privfl.attacks.poisoning import LabelFlip
    >>> LabelFlip(n_byzantine=1).poison(torch.tensor([0, 3])).tolist()
    [9, 6]
    """

    @abstractmethod
    def poison(self, labels: Tensor) -> Tensor:
        """Change the labels of an attacker's data: (k,) -> (k,)."""


class UpdatePoisoning(Poisoning):
    """Send something else in place of an update.

    The attackers know all honest updates, which is the most that a threat model can grant.
    """

    def __call__(self, honest: Tensor) -> Tensor:
        """Make what the attackers send from the honest updates: (m, d) -> (n_byzantine, d)."""
        require_matrix(honest)
        require_finite(honest)
        sent = self.vector(honest.detach().double(), len(honest) + self.n_byzantine)
        return sent.to(honest.dtype).repeat(self.n_byzantine, 1)

    @abstractmethod
    def vector(self, honest: Tensor, n: int) -> Tensor:
        """Make the one vector that all attackers send: float64 (m, d), n clients -> (d,)."""

    def is_silent(self, honest: Tensor) -> bool:
        """Whether the attackers send just the honest mean, so that nothing can be learned.

        >>> from privfl.attacks.poisoning import ALIE
        >>> ALIE(n_byzantine=2).is_silent(torch.randn(8, 3))
        True
        """
        mean = honest.detach().double().mean(dim=0).to(honest.dtype)
        return torch.equal(self(honest), mean.expand(self.n_byzantine, -1))
