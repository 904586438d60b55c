"""The kind of part that turns rows into one vector."""

import math
from typing import Self

import torch
from torch import Tensor

from privfl.core import (
    At,
    CompositionError,
    Contract,
    Plan,
    PlanError,
    Relation,
    Rows,
    State,
    joint_factor,
    require,
    require_finite,
    require_matrix,
)
from privfl.parts._canonical import blocks, canonical_order
from privfl.parts._part import Part
from privfl.parts._ranked import ranked

FAR = 2.0**480  # the square of this, summed over 2^64 columns, is still finite in float64


class Aggregator(Part):
    """Turn rows into one vector: (n, d) -> (d,).

    A rule gives either ``columns`` (a coordinate-wise rule, one pass) or ``mixture`` of the rows,
    computed from the n x n ``statistic`` (two passes); then it also runs on what does not fit in
    memory. Otherwise it overrides ``__call__``.

    Guarantees:
        - Permuting the rows does not change a bit of the result: rows are put in canonical order.
        - The result keeps dtype and device, and the input is not changed.
        - Non-finite rows, a wrong shape and too few rows raise a ValueError.
    """

    @property
    def linear(self) -> bool:
        """Whether the rule is a weighted mean, so that it needs the sum only."""
        return False

    @property
    def min_rows(self) -> int:
        """The fewest rows for which the rule keeps its promise."""
        return 1

    def __call__(self, updates: Tensor, weights: Tensor | None = None) -> Tensor:
        """Aggregate ``updates`` (n, d), optionally with public ``weights`` (n,): -> (d,)."""
        require_matrix(updates)
        require_finite(updates)
        self.require_rows(len(updates))
        if weights is not None:
            self._require_weights(weights, len(updates))
        updates = updates.detach()
        order = canonical_order(updates, weights)
        return self._aggregate(updates, order, None if weights is None else weights[order])

    def _require_weights(self, weights: Tensor, n: int) -> None:
        wanted, fix = f"{self!r} counts every row once", "Leave weights out, or use Mean()"
        require(self.linear, wanted, f"weights for {n} rows", fix)
        require_weights(weights, n)

    def _aggregate(self, updates: Tensor, order: list[int], weights: Tensor | None) -> Tensor:
        """Run the rule over column blocks of finite rows, taken in canonical ``order``."""
        mixture = self._mixture(updates, order, weights)
        if mixture is None:
            out = [self.columns(block, weights) for block in blocks(updates, order)]
        else:
            used = (mixture != 0).any(dim=0).tolist()  # Krum reads one row again, not all
            order = [row for row, needed in zip(order, used, strict=True) if needed]
            mixture = mixture[:, used]
            # float64: a mixture of half-precision rows must not round before the last step
            out = [self.columns(mixture @ block.double()) for block in blocks(updates, order)]
        return torch.cat(out).to(updates.dtype)

    def _mixture(self, updates: Tensor, order: list[int], weights: Tensor | None) -> Tensor | None:
        if type(self).mixture is Aggregator.mixture:
            return None
        parts = (self.statistic(block) for block in blocks(updates, order))
        total = next(parts)
        for part in parts:
            total = total + part
        return self.mixture(total, weights)

    def statistic(self, block: Tensor) -> Tensor:
        """Return the part of the Gram matrix that a block (n, b) adds: -> (n, n) float64.

        Rows are centred first: distances stay the same, and the Gram difference of raw rows, or of
        rows with one far outlier, would cancel to noise.
        """
        # clamp: the square of a far float64 row is infinite, and infinities subtract to NaN
        centred = (block - self.centre(block).double()).clamp_(-FAR, FAR)
        return centred @ centred.T

    def centre(self, block: Tensor) -> Tensor:
        """Return a point among the honest rows, whatever a few rows do: (n, b) -> (b,)."""
        return ranked(block)[:, len(block) // 2]

    def mixture(self, statistic: Tensor, weights: Tensor | None = None) -> Tensor | None:
        """Return which mixtures of the rows to hand to ``columns``: (n, n) -> (k, n) float64."""
        del statistic, weights
        return None

    def columns(self, block: Tensor, weights: Tensor | None = None) -> Tensor:
        """Aggregate a block of columns: (k, b) -> (b,). The default takes the only row."""
        del weights
        return block[0]

    def apply(self, rows: Rows, at: At) -> Tensor:
        """Aggregate what the opener holds: -> (d,). The default runs on the rows' means."""
        del at
        return self(rows.means)

    def settle(self, rows: Rows, made: Tensor, at: At) -> State:
        """Return the rule's next private state; it must be a function of releases (rule R25)."""
        del rows, made
        return at.state

    def sensitivity(self, clip_norm: float, n: float, relation: Relation) -> float | None:
        """Return how far one client moves the result (L2), or None where no bound is known."""
        del clip_norm, n, relation
        return None

    def without(self, rejected: int) -> Self:
        """Return the rule for ``rejected`` rows fewer: n falls, n_byzantine does not (R17)."""
        del rejected
        return self

    def require_rows(self, n: int) -> None:
        """Raise a PlanError unless ``n`` rows meet the rule's precondition."""
        if n < self.min_rows:
            raise PlanError(
                "R17",
                (self, n),
                f"{self!r} needs at least {self.min_rows} rows. Found {n}",
                f"Use at least {self.min_rows} clients (or groups), or a smaller n_byzantine",
            )

    def check(self, given: Contract) -> Contract:
        """Refuse a rule that compares updates where only their sum is seen (rule R8)."""
        if given.where == "result":
            other = given.author("where")
            raise CompositionError(
                "R33", (other, self), f"{other!r} and {self!r} both aggregate", "Keep one"
            )
        protocol = given.author("sees")
        if not self.linear and given.rows == "sum":
            raise CompositionError(
                "R8",
                (protocol, self),
                f"{self!r} compares single updates, but {protocol!r} shows only their sum",
                f"Either use Mean(), or Grouped({protocol!r}, size=5): "
                f"{type(self).__name__} then compares group sums",
            )
        if not self.linear and given.weighting != "uniform":
            weigh = given.author("weighting")
            raise CompositionError(
                "R33",
                (weigh, self),
                f"{weigh!r} weighs a mean by example counts, and {self!r} takes no mean of them",
                "Drop Weigh, or use Mean()",
            )
        return given.but(self, where="result")

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        """Check the precondition, and say how far one client can move the release."""
        del public
        if not self.linear:
            self.require_rows(given.n_rows)
        # clients weigh before they add noise, so every message carries noise of the same size
        average = given.total_weight / math.sqrt(given.n_clients) if self.linear else 1.0
        return given.but(
            sensitivity=self._sensitivities(given, contract),
            release_std=math.hypot(given.release_std, given.row_std / average),
        )

    def _sensitivities(self, given: Plan, contract: Contract) -> dict[Relation, float]:
        """Bound the joint move of body and scalars; scalars are always averaged (rule R7)."""
        n = given.total_weight if self.linear else given.n_rows
        longest = self._longest(given, contract)
        tail = math.sqrt(joint_factor(contract.scalars) ** 2 - 1)
        out = {}
        for relation in Relation:
            body = self.sensitivity(longest, n, relation)
            if body is not None:
                mean = tail * relation.change(given.clip_norm) / given.heads if tail else 0.0
                out[relation] = math.hypot(body, mean)
        return out

    def _longest(self, given: Plan, contract: Contract) -> float:
        """Bound what this rule gets of one client: a summand, or a row, which is a mean again.

        A client weighs its update and then clips it; a server clips the means, and the weight
        comes back with the sum. Where both clip, either bound may be the one that holds.
        """
        clients_clip = contract.enforced_by in ("client", "both")
        server_clips = contract.enforced_by in ("opener", "both")
        if not self.linear:
            return given.clip_norm / (min(given.least_weight, 1.0) if clients_clip else 1.0)
        factors = [1.0] * clients_clip + [given.largest_weight] * server_clips
        return given.clip_norm * max(factors, default=1.0)


def require_weights(weights: Tensor, n: int) -> None:
    """Raise a ValueError unless ``weights`` are ``n`` finite numbers from 0 up, not all 0."""
    wanted = f"weights must be {n} finite numbers from 0 up, not all 0"
    good = isinstance(weights, Tensor) and weights.shape == (n,)
    good = good and bool(torch.isfinite(weights).all() and weights.min() >= 0 and weights.sum() > 0)
    require(good, wanted, weights if not isinstance(weights, Tensor) else weights.tolist())
