"""Real numbers as integers of a public grid."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from privfl.core import (
    At,
    CompositionError,
    Contract,
    Plan,
    ProtocolAbort,
    Rows,
    State,
    require_count,
)
from privfl.parts import Wrapper

BETA = math.exp(-0.5)  # how often a rounding may be too long: Kairouz et al. 2021, section 4.1

TRIES = 1000  # a vector within its bound fails each with a chance below .61


@dataclass(frozen=True)
class Quantize(Wrapper):
    """Round each coordinate at random to one of ``2**bits - 1`` values: (d,) -> (d,) integers.

    The grid is public: its step is the largest coordinate that the clip allows over
    ``2**(bits - 1) - 1``, so that sums of integers are sums of updates (rule R32). A coordinate is
    rounded up or down so that its mean is kept. Rounding makes an update longer; it is drawn again
    until its norm, in exact integers, is within the bound of Kairouz et al. 2021
    (https://arxiv.org/abs/2102.06387, definition 5 and proposition 22), which the plan carries on
    (rule R4). Behind local noise, which no bound holds, it is drawn once.

    QSGD (Alistarh et al. 2017, https://arxiv.org/abs/1610.02132, section 3.1) rounds to the same
    grid of ``s = 2**(bits - 1) - 1`` levels, with each update's own norm as its scale; a sum needs
    one grid for everybody, so here the clip norm ``C`` is the scale. An update of norm ``C`` is
    rounded as there, a shorter one more coarsely: a coordinate that lies the share ``f`` of a step
    above its grid point has variance ``f (1 - f) step^2``, at most ``step^2 / 4`` and at most
    ``|x_j| step``, so that lemma 3.1 holds with ``C`` where it has the norm of ``x``.

    Guarantees:
        - Each coordinate is moved by less than one step.
        - A drawing has ``E Q(x) = x`` and ``E |Q(x) - x|^2 <= min(d / 4 s^2, sqrt(d) / s) C^2``.
          Only updates close to the bound are ever drawn again, which takes out the longest.
        - The norm of the integers times the step is at most the planned bound.
        - Without noise in front of it, no integer passes ``2**(bits - 1) - 1``.

    >>> from privfl import Pipeline
    >>> from privfl.defenses.dp import Clip
    >>> shield = Pipeline(Clip(1.0), Quantize(8))
    >>> x = torch.tensor([[0.6, 0.8]])
    >>> bool((shield.aggregate(x).update - x).abs().max() < 1 / 127)
    True
    """

    bits: int = 16

    covers_scalars: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a number of bits that holds no sign, or more than float32 carries."""
        require_count("bits", self.bits, least=2)
        require_count("24 - bits", 24 - self.bits, least=0)

    def check(self, given: Contract) -> Contract:
        """Stand in the client, behind a clip."""
        if given.where != "client" or given.form != "real":
            other = given.author("where" if given.where != "client" else "form")
            raise CompositionError(
                "R4",
                (other, self),
                f"{self!r} rounds the real numbers of a client, and stands behind {other!r}",
                "Put it before the protocol, once",
            )
        if given.clip_norm == math.inf:
            raise CompositionError(
                "R32",
                ("no clip norm", self),
                f"{self!r} needs a public bound to make its grid of, and nobody clips",
                "Put Clip(…) before it",
            )
        return super().check(given).but(self, form="integer")

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        """State the grid, and the norm behind it."""
        del public
        levels = 2 ** (self.bits - 1) - 1
        # behind local noise no coordinate is bounded, and the data's own are by their norm
        step = min(given.peak, given.bound) / levels
        longer = self._inflation(given, step) if contract.noise == "none" else 1.0
        return given.but(
            step=step,
            levels=levels,
            bound=given.bound * longer,
            clip_norm=given.clip_norm * longer,
        )

    def _inflation(self, given: Plan, step: float) -> float:
        return math.sqrt(_squared_limit(given.bound / step, given.dim)) * step / given.bound

    def apply(self, x: Tensor, at: At) -> Tensor:
        """Round at random, again and again until the integers are short enough."""
        planned = self.plan(at.plan, at.contract, None)
        exact = x.double() / planned.step
        if at.contract.noise != "none":
            return _rounded(exact, at)
        exact = exact.clamp(-planned.levels, planned.levels)
        limit = math.floor(_squared_limit(at.plan.bound / planned.step, at.plan.dim))
        for _ in range(TRIES):
            made = _rounded(exact, at)
            if _squared_norm(made) <= limit:
                return made
        raise ProtocolAbort(f"A part in front of {self!r} does not keep the bound that it states")

    def undo(self, rows: Rows, at: At) -> Rows:
        """Multiply by the step: (g, d) integers -> (g, d) float64."""
        step = self.plan(at.plan, at.contract, None).step
        return rows.but(sums=rows.sums.double() * step)

    def describe(self, plan: Plan, contract: Contract) -> str:
        """Say how fine the grid is."""
        step = self.plan(plan, contract, None).step
        return f"each coordinate is rounded at random to a multiple of {step:.3g}"


def _rounded(exact: Tensor, at: At) -> Tensor:
    floor = exact.floor()
    drawn = at.generator.uniform(exact.shape).to(exact.device)  # from (0, 1]
    return (floor + (drawn <= exact - floor)).to(torch.int64)


def _squared_limit(length: float, dim: int) -> float:
    """Bound the squared norm of a rounded vector of this length in steps, at chance ``BETA``."""
    always = (length + math.sqrt(dim)) ** 2
    mostly = length**2 + dim / 4 + math.sqrt(2 * math.log(1 / BETA)) * (length + math.sqrt(dim) / 2)
    return min(always, mostly)


def _squared_norm(x: Tensor) -> int:
    """Sum the squares of integers exactly: (d,) int64 -> int."""
    return int((x * x).sum())
