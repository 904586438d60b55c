"""A few coordinates of an update, the same of everybody's."""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from privfl.compression._real_numbers import require_real
from privfl.core import At, Contract, Plan, PlanError, Rows, State, require_count
from privfl.parts import Wrapper


@dataclass(frozen=True)
class RandomK(Wrapper):
    """Send ``k`` coordinates, in each round others, that all clients draw alike: (d,) -> (k,).

    The support is public and the same for everybody, so that sums of what is sent are what is sent
    of the sum: it fits where only a sum is seen (rule R32). The opener multiplies by ``d / k`` and
    fills up with zeros, so that the release is right on average (Konecny et al. 2016,
    https://arxiv.org/abs/1610.05492, section 3). As clients share the support, their errors do not
    average out: that of the mean is the mean's own.

    What is sent is no longer than what came, and the multiplication comes after the sum (rule R4).
    It lengthens what one client moves in the release, though, up to ``d / k`` times, and the plan's
    clip norm says so: noise behind the aggregator is that much larger. A clip behind it bounds the
    ``k`` coordinates, so that ``C sqrt(k / d)`` there cuts off little of an update that `Rotate`
    has spread, and costs the root of that factor only.

    Guarantees:
        - The average over all supports is the update itself.
        - ``E |Q(x) - x|^2 = (d / k - 1) |x|^2`` for every update ``x``.
        - No update moves the opened sum by more than the planned clip norm.

    >>> import torch
    >>> from privfl import Pipeline
    >>> from privfl.defenses.dp import Clip
    >>> shield = Pipeline(Clip(9.0), RandomK(2))
    >>> sorted(shield.aggregate(torch.ones(3, 6)).update.tolist())
    [0.0, 0.0, 0.0, 0.0, 3.0, 3.0]
    """

    k: int

    covers_scalars: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse to send nothing."""
        require_count("k", self.k, least=1)

    def check(self, given: Contract) -> Contract:
        """Stand in the client, before any rounding."""
        given = super().check(given)
        require_real(self, given)
        return given

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        """State the shorter body; no bound changes by leaving coordinates out."""
        del contract, public
        if self.k > given.body:
            raise PlanError(
                "R32",
                (self, given.body),
                f"{self!r} draws {self.k} coordinates out of {given.body}",
                f"Use at most k={given.body}",
            )
        return given.but(body=self.k, dim=given.dim - given.body + self.k)

    def undone(self, given: Plan, here: Plan) -> Plan:
        """State every bound ``d / k``-fold; noise is on the drawn coordinates, and 0 elsewhere."""
        times = here.body / self.k
        return given.but(
            clip_norm=given.clip_norm * times,
            bound=given.bound * times,
            peak=given.peak * times,
            row_std=given.row_std * math.sqrt(times),
            error=given.error * times,
        )

    def apply(self, x: Tensor, at: At) -> Tensor:
        """Keep the drawn coordinates."""
        return x[self._support(at).to(x.device)]

    def undo(self, rows: Rows, at: At) -> Rows:
        """Put the coordinates back ``d / k``-fold; a weight behind each coordinate stays its own.

        The weights are those of the whole body all the time: who owns a coordinate is weighed
        there, whether it was drawn or not.
        """
        whole = rows.sums.new_zeros(len(rows.sums), at.plan.body)
        whole[:, self._support(at).to(whole.device)] = rows.sums * (at.plan.body / self.k)
        return rows.but(sums=whole)

    def _support(self, at: At) -> Tensor:
        drawn = at.shared("random-k").permutation(at.plan.body)[: self.k]
        return drawn.sort().values  # in order, a gather reads memory in one sweep

    def describe(self, plan: Plan, contract: Contract) -> str:
        """Say how many coordinates travel."""
        del contract
        times = plan.body / self.k
        return f"{self.k:,} of {plan.body:,} coordinates travel, and count {times:.3g}-fold"
