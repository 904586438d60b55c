"""The laws of an aggregator, each on one matrix of updates (n, d).

They are what `Aggregator`, and a `RobustRule` above it, promise. The product's own tests run the
same functions on inputs that a machine searches for.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from privfl.core import Relation
from privfl.defenses.robust import RobustRule
from privfl.parts import Aggregator
from privfl.testing._law import Law, demand, demand_frozen

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def is_frozen(rule: Aggregator, updates: Tensor) -> None:
    """Parameters are in the constructor, and nothing remembers what it saw."""
    del updates
    demand_frozen(rule)


def permutation_changes_no_bit(rule: Aggregator, updates: Tensor) -> None:
    """The order in which clients answer must not matter."""
    made, n = rule(updates), len(updates)
    for order in (range(n - 1, -1, -1), [*range(1, n), 0], [*range(0, n, 2), *range(1, n, 2)]):
        again = rule(updates[list(order)])
        demand(
            torch.equal(again, made),
            f"{_show(updates)} gave {_show(made)}, in the order {list(order)} {_show(again)}",
        )


def kind_is_kept(rule: Aggregator, updates: Tensor) -> None:
    """What comes in float16 leaves so, as one finite vector of d numbers."""
    for dtype in DTYPES:
        given = updates.clamp(-1000, 1000).to(dtype)
        made = rule(given)
        found = f"{made.dtype}, {tuple(made.shape)}, {made.device}"
        wanted = f"{dtype}, ({updates.shape[1]},), {given.device}"
        demand(found == wanted, f"{_show(given)} gave {found}, and not {wanted}")
        demand(bool(made.isfinite().all()), f"{_show(given)} in {dtype} gave {_show(made)}")


def input_is_not_changed(rule: Aggregator, updates: Tensor) -> None:
    """The caller goes on with the same updates."""
    before = updates.clone()
    rule(updates)
    demand(torch.equal(before, updates), f"{_show(before)} became {_show(updates)}")


def equal_rows_give_that_row(rule: Aggregator, updates: Tensor) -> None:
    """Where all agree there is nothing to decide; nor may a sum of float16 rows overflow."""
    for dtype in DTYPES:
        row = updates[0].clamp(-1000, 1000)
        large = row.sign() * min(torch.finfo(dtype).max / 2, 1e30)
        for equal in (row.to(dtype), large.to(dtype)):
            made = rule(equal.repeat(len(updates), 1))
            demand(
                _gap(made, equal) <= 4 * torch.finfo(dtype).eps * float(equal.abs().max()),
                f"{len(updates)} times {_show(equal)} in {dtype} gave {_show(made)}",
            )


def moving_and_scaling_commute(rule: Aggregator, updates: Tensor) -> None:
    """``F(a * x + b) = a * F(x) + b``; of tied choices rounding may take another."""
    rows = updates.double()
    size = float(rows.abs().max())
    shift = size * torch.linspace(-1, 2, rows.shape[1], dtype=rows.dtype)
    for scale in (3.7, -2.0):
        moved = rule(scale * rows + shift)
        made = (scale * rule(same) + shift for same in _within_rounding(rows))
        demand(
            any(_gap(moved, it) <= 1e-9 * size for it in made),
            f"{_show(rows)} times {scale} plus {_show(shift)} gave {_show(moved)}, "
            f"and not {_show(scale * rule(rows) + shift)}",
        )


def non_finite_rows_raise(rule: Aggregator, updates: Tensor) -> None:
    """One NaN must never reach the model."""
    for value in (math.nan, math.inf, -math.inf):
        bad = updates.clone()
        bad[-1, -1] = value
        demand(_raises(rule, bad), f"{value} in the last row raised no ValueError")


def too_few_rows_raise(rule: Aggregator, updates: Tensor) -> None:
    """Below its precondition a rule promises nothing."""
    few = rule.min_rows - 1
    demand(_raises(rule, updates[:few]), f"{few} rows raised no ValueError")


def weights_count_copies_or_raise(rule: Aggregator, updates: Tensor) -> None:
    """A weight of 3 is the row three times; a rule that cannot do that says so."""
    weights = torch.tensor([3.0] + [1.0] * (len(updates) - 1))
    try:
        made = rule(updates.double(), weights)
    except ValueError:
        return
    copies = rule(torch.cat([updates, updates[:1], updates[:1]]).double())
    demand(
        _gap(made, copies) <= 1e-9 * float(updates.abs().max()),
        f"{_show(updates)} with weights {_show(weights)} gave {_show(made)}, with copies of the "
        f"first row {_show(copies)}",
    )


def far_rows_move_it_no_further_than_kappa(rule: Aggregator, updates: Tensor) -> None:
    """As many far rows as it stands, in any formation, against the bound that it states."""
    kappa = _kappa(rule, len(updates))
    f = rule.n_byzantine if isinstance(rule, RobustRule) else 0
    honest = updates[f:]
    mean = honest.double().mean(dim=0)
    variance = float(((honest.double() - mean) ** 2).sum(dim=1).mean())
    # rounding of the result to the dtype of the updates
    slack = 8 * torch.finfo(updates.dtype).eps * float(honest.abs().max()) * math.sqrt(len(mean))
    for sent in _far(honest, f):
        made = rule(torch.cat([honest, sent]))
        error = float(torch.linalg.vector_norm(made.double() - mean))
        demand(
            error <= math.sqrt(kappa * variance) + slack,
            f"{_show(sent)} beside {_show(honest)} moved the result {error:.3g} from the honest "
            f"mean, further than sqrt({kappa:.3g} * {variance:.3g})",
        )


def one_client_moves_it_no_further_than_its_sensitivity(rule: Aggregator, updates: Tensor) -> None:
    """Rows of norm at most 1; one becomes zero, or any other."""
    for rows in _clipped(updates):
        made = rule(rows)
        for relation in (Relation.ZERO_OUT, Relation.REPLACE_ONE):
            known = rule.sensitivity(1.0, len(rows), relation)
            bound = math.inf if known is None else known
            for other in _neighbours(rows, relation):
                moved = float(torch.linalg.vector_norm(rule(other) - made))
                demand(
                    moved <= bound * (1 + 1e-9),
                    f"{_show(rows)} and its {relation} neighbour {_show(other)} are {moved:.6g} "
                    f"apart, more than {bound:.6g}",
                )


AGGREGATOR_LAWS: tuple[Law[Aggregator, Tensor], ...] = (
    Law("it is a frozen dataclass", is_frozen),
    Law("permuting the rows changes no bit", permutation_changes_no_bit),
    Law("dtype, device and shape are kept, half precision too", kind_is_kept),
    Law("the input is not changed", input_is_not_changed),
    Law("equal rows give that row", equal_rows_give_that_row),
    Law(
        "moving and scaling the rows moves and scales the result",
        moving_and_scaling_commute,
        claimed=lambda rule: rule.linear or (isinstance(rule, RobustRule) and rule.equivariant),
    ),
    Law("rows with NaN or Inf raise a ValueError", non_finite_rows_raise),
    Law("too few rows raise a ValueError", too_few_rows_raise, lambda rule: rule.min_rows > 1),
    Law("weights count copies, or raise a ValueError", weights_count_copies_or_raise),
    Law(
        "n_byzantine far rows move it no further than kappa says",
        far_rows_move_it_no_further_than_kappa,
        claimed=lambda rule: math.isfinite(_kappa(rule, rule.min_rows)),
    ),
    Law(
        "one client moves it no further than its sensitivity",
        one_client_moves_it_no_further_than_its_sensitivity,
        claimed=lambda rule: rule.sensitivity(1.0, rule.min_rows, Relation.ZERO_OUT) is not None,
    ),
)


def _kappa(rule: Aggregator, n: int) -> float:
    kappa = rule.kappa(n) if isinstance(rule, RobustRule) else None
    return math.inf if kappa is None else kappa


def _far(honest: Tensor, f: int) -> Iterator[Tensor]:
    """Yield formations of f far rows: together, opposed, and in one coordinate."""
    top = torch.finfo(honest.dtype).max / 16
    together = honest.new_full((f, honest.shape[1]), top)
    yield together
    opposed = together.clone()
    opposed[::2] *= -1
    yield opposed
    one = honest[:1].repeat(f, 1)
    one[:, 0] = top
    yield one


def _clipped(updates: Tensor) -> Iterator[Tensor]:
    """Yield rows of norm at most 1: shrunk together, and as two clusters at opposite ends."""
    rows = updates.double()
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    yield rows / norms.max().clamp(min=1)
    end = rows[:1] / norms[:1].clamp(min=1e-30)
    signs = torch.where(torch.arange(len(rows)) % 2 == 0, 1.0, -1.0).double()
    yield signs[:, None] * end


def _neighbours(rows: Tensor, relation: Relation) -> Iterator[Tensor]:
    for k in sorted({0, 1 % len(rows), len(rows) - 1}):
        others = [torch.zeros_like(rows[k])]
        if relation is Relation.REPLACE_ONE:
            others += [-rows[k], rows[k - 1]]
        for other in others:
            neighbour = rows.clone()
            neighbour[k] = other
            yield neighbour


def _within_rounding(rows: Tensor) -> Iterator[Tensor]:
    """Yield the rows, and then rows that differ by rounding: they show what a tie may turn to."""
    yield rows
    generator = torch.Generator().manual_seed(0)
    size = 1e-12 * float(rows.abs().max())
    for _ in range(64):
        yield rows + size * torch.randn(rows.shape, generator=generator, dtype=rows.dtype)


def _raises(rule: Callable[[Tensor], Tensor], updates: Tensor) -> bool:
    try:
        rule(updates)
    except ValueError:
        return True
    return False


def _gap(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).abs().max())


def _show(x: Tensor) -> str:
    if x.numel() > 40:
        return f"a {tuple(x.shape)} tensor"
    return str(x.tolist())
