"""The largest coordinates of an update, and a memory of the others."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from privfl.core import At, Contract, Plan, PlanError, State, all_finite, require_count
from privfl.parts import Wrapper


@dataclass(frozen=True)
class TopK(Wrapper):
    """Keep the ``k`` largest coordinates of an update and its memory: (d,) -> (d,), zeros between.

    What is left out is remembered in the client and added to its next update (Stich et al. 2018,
    https://arxiv.org/abs/1809.07599, algorithm 1; Karimireddy et al. 2019,
    https://arxiv.org/abs/1901.09847). A client that was not counted remembers all of it; it learns
    that with the next opening. Where the zeros lie depends on data, so no sum-only protocol takes
    it (rule R32), and the memory stands before the clip (rule R4); what that clip cuts off is not
    remembered.

    Letters keep their length: zeros travel too. Where bytes count, use `RandomK`.

    Guarantees:
        - ``|x - Q(x)|^2 <= (1 - k / d) |x|^2`` for every ``x``.
        - What was counted, and the memories, add up to all updates, whoever drops out.
        - An update with NaN or Inf is sent on as such, and does not stay in the memory.

    >>> from privfl import Pipeline
    >>> shield = Pipeline(TopK(1))
    >>> first = shield.aggregate(torch.tensor([[3.0, 1.0]]))
    >>> first.update
    tensor([3., 0.])
    >>> shield.aggregate(torch.tensor([[0.0, 1.0]]), state=first.state).update
    tensor([0., 2.])
    """

    k: int

    covers_scalars: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse to send nothing."""
        require_count("k", self.k, least=1)

    def check(self, given: Contract) -> Contract:
        """Say that the support depends on data."""
        return super().check(given).but(self, support="private")

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        """Refuse to choose more coordinates than there are."""
        del contract, public
        if self.k > given.body:
            raise PlanError(
                "R32",
                (self, given.body),
                f"{self!r} chooses {self.k} coordinates out of {given.body}",
                f"Use at most k={given.body}",
            )
        return given

    def apply(self, x: Tensor, at: At) -> Tensor:
        """Zero all but the largest."""
        whole = _whole(x, at)
        largest = whole.abs().topk(self.k, sorted=False).indices
        return torch.zeros_like(whole).scatter(0, largest, whole[largest])

    def settle(self, x: Tensor, made: Tensor, at: At, counted: bool) -> State:
        """Remember what was not counted: all, or what was left out."""
        whole = _whole(x, at)
        if not all_finite(whole):  # a broken update must not break all that follow
            return at.state
        return whole - made if counted else whole

    def describe(self, plan: Plan, contract: Contract) -> str:
        """Say how many coordinates are kept back, and where."""
        del contract
        return f"the {self.k:,} largest of {plan.body:,} coordinates; clients remember the others"


def _whole(x: Tensor, at: At) -> Tensor:
    return x if at.state is None else x + at.state  # type: ignore[operator]
