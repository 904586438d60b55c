"""How a server steps by an average update: the rules of FedOpt."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from privfl.core import require, require_positive

Memory = Mapping[str, Tensor]


class ServerOptimizer(ABC):
    """Turn the average update (d,) into a step (d,): (memory, update) -> (memory, step)."""

    @abstractmethod
    def step(self, memory: Memory, update: Tensor) -> tuple[Memory, Tensor]:
        """Return what is remembered, and the step; the first memory is empty."""


@dataclass(frozen=True)
class ServerMomentum(ServerOptimizer):
    """Add up updates that fade: ``m = momentum m + Delta``, step ``lr m``.

    FedAvgM of Hsu et al. 2019 (https://arxiv.org/abs/1909.06335). Without momentum and at ``lr`` 1
    it is the plain average.

    >>> ServerMomentum(momentum=0.9).lr
    1.0
    """

    lr: float = 1.0
    momentum: float = 0.9

    def __post_init__(self) -> None:
        """Refuse a step that is none, and a memory that grows."""
        require_positive("lr", self.lr)
        _require_fading(momentum=self.momentum)

    def step(self, memory: Memory, update: Tensor) -> tuple[Memory, Tensor]:
        """Step by the momentum."""
        m = self.momentum * memory.get("m", torch.zeros_like(update)) + update
        return {"m": m}, self.lr * m


@dataclass(frozen=True)
class Adaptive(ServerOptimizer):
    """Step by ``lr m / (sqrt(v) + tau)`` (Reddi et al. 2021, https://arxiv.org/abs/2003.00295).

    Algorithm 2: ``m = beta_1 m + (1 - beta_1) Delta``, and ``v`` starts at ``tau ** 2``. There is
    no bias correction.
    """

    lr: float = 0.1
    beta_1: float = 0.9
    tau: float = 1e-3

    def __post_init__(self) -> None:
        """Refuse a step that is none, and a memory that grows."""
        require_positive("lr", self.lr)
        require_positive("tau", self.tau)
        _require_fading(beta_1=self.beta_1)

    @abstractmethod
    def second(self, v: Tensor, square: Tensor) -> Tensor:
        """Return the next ``v``, given the last one and the update's squares."""

    def step(self, memory: Memory, update: Tensor) -> tuple[Memory, Tensor]:
        """Step by the mean over the root of ``v``."""
        m = memory.get("m", torch.zeros_like(update))
        m = self.beta_1 * m + (1 - self.beta_1) * update
        v = self.second(memory.get("v", torch.full_like(update, self.tau**2)), update**2)
        return {"m": m, "v": v}, self.lr * m / (v.sqrt() + self.tau)


@dataclass(frozen=True)
class ServerAdagrad(Adaptive):
    """Let ``v`` add up squares: FedAdagrad.

    >>> ServerAdagrad(lr=0.1).beta_1
    0.0
    """

    beta_1: float = 0.0

    def second(self, v: Tensor, square: Tensor) -> Tensor:
        """Add."""
        return v + square


@dataclass(frozen=True)
class ServerAdam(Adaptive):
    """Let ``v`` be a fading mean of squares: FedAdam.

    >>> ServerAdam(lr=0.01).beta_2
    0.99
    """

    beta_2: float = 0.99

    def __post_init__(self) -> None:
        """Refuse a memory that grows."""
        super().__post_init__()
        _require_fading(beta_2=self.beta_2)

    def second(self, v: Tensor, square: Tensor) -> Tensor:
        """Mix."""
        return self.beta_2 * v + (1 - self.beta_2) * square


@dataclass(frozen=True)
class ServerYogi(ServerAdam):
    """Let ``v`` move towards the squares by steps of their size: FedYogi.

    >>> ServerYogi(lr=0.01).tau
    0.001
    """

    def second(self, v: Tensor, square: Tensor) -> Tensor:
        """Move."""
        return v - (1 - self.beta_2) * square * torch.sign(v - square)


def _require_fading(**factors: float) -> None:
    for name, factor in factors.items():
        require(0 <= factor < 1, f"{name} must be from 0 up to below 1", factor)
