"""The laws of a wrapper, each on one vector that arrives where it stands."""

import math

import torch

from privfl.core import decode, encode
from privfl.parts import Wrapper
from privfl.testing._law import Law, demand, demand_frozen
from privfl.testing._standing import Standing


def is_frozen(part: Wrapper, standing: Standing) -> None:
    """Parameters are in the constructor, and nothing remembers what it saw."""
    del standing
    demand_frozen(part)


def equal_facts_give_equal_bits(part: Wrapper, standing: Standing) -> None:
    """All randomness comes from ``at``: else no round could be replayed or tested."""
    made, again = standing.apply(part), standing.apply(part)
    demand(torch.equal(made, again), f"twice from {standing.x.tolist()}: two results")


def input_is_not_changed(part: Wrapper, standing: Standing) -> None:
    """The client goes on with the same update."""
    before = standing.x.clone()
    standing.apply(part)
    demand(torch.equal(before, standing.x), f"{before.tolist()} became {standing.x.tolist()}")


def length_is_as_planned(part: Wrapper, standing: Standing) -> None:
    """The plan says how many coordinates travel, and both sides derive it."""
    made = standing.apply(part)
    found = f"{len(made)} coordinates from {len(standing.x)}"
    demand(len(made) == standing.behind.dim, f"{found}, and the plan says {standing.behind.dim}")


def kind_is_kept(part: Wrapper, standing: Standing) -> None:
    """Real numbers stay in their dtype and on their device."""
    for dtype in (torch.float32, torch.float64):
        made = standing.but(standing.x.to(dtype)).apply(part)
        demand(made.dtype == dtype, f"{dtype} became {made.dtype}")
        demand(made.device == standing.x.device, f"it left {standing.x.device}")


def zero_update_is_legal(part: Wrapper, standing: Standing) -> None:
    """An absent or a broken client is a zero update (rule R1)."""
    made = standing.but(torch.zeros_like(standing.x)).apply(part)
    demand(bool(made.isfinite().all()), f"zeros became {made.tolist()}")


def non_finite_update_does_not_raise(part: Wrapper, standing: Standing) -> None:
    """Whether a client fails is public, and may not depend on its data (rule R17)."""
    for value in (math.nan, math.inf, -math.inf):
        bad = standing.x.clone()
        bad[0] = value
        try:
            made = standing.but(bad).apply(part)
        except (ValueError, RuntimeError, ArithmeticError) as error:
            demand(False, f"{value} raised {type(error).__name__}: {error}")
        demand(len(made) == standing.behind.dim, f"{value} changed the length to {len(made)}")


def bound_is_kept(part: Wrapper, standing: Standing) -> None:
    """What the plan says of norm and peak is what the accountant relies on (rule R4)."""
    plan = standing.behind
    made = standing.apply(part).double() * (plan.step or 1.0)
    norm, peak = float(torch.linalg.vector_norm(made)), float(made.abs().max())
    demand(norm <= plan.bound * (1 + 1e-6), f"norm {norm:.6g} above the planned {plan.bound:.6g}")
    demand(peak <= plan.peak * (1 + 1e-6), f"peak {peak:.6g} above the planned {plan.peak:.6g}")


def undo_adds_up(part: Wrapper, standing: Standing) -> None:
    """The opener holds sums: undoing a sum is summing what undoing would give (rule R8)."""
    x = standing.x / max(1.0, float(standing.x.abs().max()))  # a ring wraps beyond its range
    one, two = standing.but(x).apply(part), standing.but(x / -2).apply(part)
    together = standing.undo(part, one + two).sums
    apart = standing.undo(part, one).sums + standing.undo(part, two).sums
    wanted = len(standing.x) if part.covers_scalars else standing.setting.opening.body
    demand(together.shape == (1, wanted), f"{tuple(together.shape)}, and not (1, {wanted})")
    size = float(apart.abs().max()) or 1.0
    gap = float((together - apart).abs().max())
    demand(gap <= 1e-6 * size, f"undoing a sum differs by {gap:.3g} from undoing its terms")


def state_is_a_value(part: Wrapper, standing: Standing) -> None:
    """What it remembers travels between processes as bytes."""
    made = standing.apply(part)
    scalars = {scalar.name: 0.0 for scalar in standing.setting.contracts[0].scalars}
    for state in (
        standing.at().public,
        part.advance(standing.undo(part, made), standing.at()),
        part.learn(scalars, standing.at()),
        part.settle(standing.x, made, standing.at(), True),
    ):
        demand(encode(decode(encode(state))) == encode(state), f"{state!r} does not come back")


def _adds_no_noise(part: Wrapper) -> bool:
    standing = Standing.of(part, torch.zeros(1, dtype=torch.float64), 0)
    contracts = standing.setting.contracts
    return contracts[standing.place + 1].noise == contracts[standing.place].noise


def _stays_real(part: Wrapper) -> bool:
    standing = Standing.of(part, torch.zeros(1, dtype=torch.float64), 0)
    return standing.setting.contracts[standing.place + 1].form == "real"


WRAPPER_LAWS: tuple[Law[Wrapper, Standing], ...] = (
    Law("it is a frozen dataclass", is_frozen),
    Law("the input is not changed", input_is_not_changed),
    Law("equal facts and randomness give equal bits", equal_facts_give_equal_bits),
    Law("the length is as its plan says", length_is_as_planned),
    Law("dtype and device are kept", kind_is_kept, _stays_real),
    Law("a zero update is legal", zero_update_is_legal),
    Law("an update with NaN or Inf does not raise", non_finite_update_does_not_raise),
    Law("norm and peak are within its plan", bound_is_kept, _adds_no_noise),
    Law(
        "undoing a sum is the sum of what is undone",
        undo_adds_up,
        claimed=lambda part: type(part).undo is not Wrapper.undo,
    ),
    Law("what it remembers is a value", state_is_a_value),
)
