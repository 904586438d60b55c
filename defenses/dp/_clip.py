"""The bound on what one client can move."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from privfl.core import (
    At,
    CompositionError,
    Contract,
    Plan,
    State,
    all_finite,
    joint_factor,
    require_positive,
)
from privfl.parts import Wrapper


@dataclass(frozen=True)
class Clip(Wrapper):
    """Scale an update down to an L2 norm of at most ``clip_norm``: (d,) -> (d,).

    Before the protocol it is the client's promise; behind `Plain` the server enforces it on every
    row; behind `Grouped` the server bounds each group's mean, which is no bound on one client.
    Scalars in the tail are clamped to their own bounds and scaled to their share of the clip norm,
    so the joint norm is at most ``clip_norm * sqrt(1 + sum(share**2))`` (rules R1, R7).

    Guarantees:
        - The norm of the result is at most ``clip_norm``, rounding included.
        - An update within the bound is not changed by a bit; clipping twice is clipping once.
        - A zero update stays zero, and a non-finite one becomes zero.

    >>> from privfl import Pipeline
    >>> Pipeline(Clip(1.0)).aggregate(torch.tensor([[3.0, 4.0]])).update
    tensor([0.6000, 0.8000])
    """

    clip_norm: float

    covers_scalars: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a norm that bounds nothing."""
        require_positive("clip_norm", self.clip_norm)

    def check(self, given: Contract) -> Contract:
        """Stand before any noise, on updates or rows."""
        return bounded(self, self.clip_norm, given)

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        """State the body's, the joint and the coordinate bound, and the scalars' units."""
        del public
        if contract.rows == "group":
            return given
        if contract.where == "rows" and contract.clip_norm < self.clip_norm:
            return given  # the clients' bound is the one that holds, as `check` says
        norm = min(self.clip_norm, given.clip_norm)
        shares = [scalar.share for scalar in contract.scalars]
        return given.but(
            clip_norm=norm,
            bound=norm * joint_factor(contract.scalars),
            peak=norm * max([1.0, *shares]),
            unit=tuple(share * norm for share in shares),
        )

    def describe(self, plan: Plan, contract: Contract) -> str:
        """Say whose bound it is."""
        if contract.where == "client":
            return f"each update has norm at most {self.clip_norm:g}, as the client promises"
        whose = "group mean" if contract.rows == "group" else "update"
        return f"each {whose} has norm at most {self.clip_norm:g}, enforced by the server"

    def apply(self, x: Tensor, at: At) -> Tensor:
        """Clip the body, and clamp and scale the declared scalars."""
        if not all_finite(x):
            return torch.zeros_like(x)
        body = shrink(x[: at.plan.body], self.clip_norm)
        tail = self._scalars(x[at.plan.scalars_at], at)
        return torch.cat([body, x[at.plan.body : at.plan.scalars_at.start], tail])

    def _scalars(self, tail: Tensor, at: At) -> Tensor:
        wide = tail.double()
        after = self.plan(at.plan, at.contract, None).unit
        exact = (wide / wide.new_tensor(at.plan.unit)).clamp(-1, 1) * wide.new_tensor(after)
        made = exact.to(tail)
        # in half precision, rounding to the nearest can lift a scalar above its share of the bound
        lower = torch.nextafter(made, torch.zeros_like(made))
        return made.where(made.double().abs() <= exact.abs(), lower)


def bounded(part: Wrapper, clip_norm: float, given: Contract) -> Contract:
    """Return the contract behind a clip to ``clip_norm``, or refuse where it bounds nothing."""
    name = type(part).__name__
    if given.noise != "none":
        noise = given.author("noise")
        raise CompositionError(
            "R1",
            (noise, part),
            f"{part!r} behind {noise!r} would clip the noise, not the update",
            f"Put {name} before the noise",
        )
    if given.where == "result":
        rule = given.author("where")
        raise CompositionError(
            "R1",
            (rule, part),
            f"{part!r} behind {rule!r} bounds the release, and no single update",
            f"Put {name} before the protocol (a client's promise), or Clip(…) right behind it "
            "(enforced)",
        )
    if given.form != "real":
        form = given.author("form")
        raise CompositionError(
            "R4", (form, part), f"{part!r} stands behind {form!r}", f"Put {name} before it"
        )
    if given.rows == "sum":
        protocol = given.author("rows")
        raise CompositionError(
            "R1",
            (protocol, part),
            f"{part!r} behind {protocol!r} bounds the sum, and no single update",
            f"Put {name} before the protocol (a client's promise)",
        )
    if given.rows == "group":
        return given
    if given.clip_norm < clip_norm:  # the other clip's bound is the one that holds
        return given
    by_clients = given.enforced_by == "client"  # an adaptive one may be the tighter one in a round
    who = "client" if given.where == "client" else "both" if by_clients else "opener"
    return given.but(part, clip_norm=clip_norm, enforced_by=who)


def shrink(x: Tensor, norm: float) -> Tensor:
    """Scale ``x`` (d,) so that its L2 norm is at most ``norm``, in its own dtype."""
    shrunk, scale = x, 1.0
    while (length := length_of(shrunk)) > norm:
        # one unit in the last place less, and again: rounding can lift the result above the bound
        scale *= norm / length * (1 - torch.finfo(x.dtype).eps)
        shrunk = (x.double() * scale).to(x.dtype)
    return shrunk


def length_of(x: Tensor) -> float:
    """Return the L2 norm of ``x`` (d,)."""
    # float64: the squares of float16 or of 1e30 in float32 overflow
    return float(torch.linalg.vector_norm(x, dtype=torch.float64))
