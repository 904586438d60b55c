"""The trimmed mean against exact arithmetic, and its edges."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oracles.trimmed_mean import trimmed_mean
from privfl.core import PlanError, Relation
from privfl.defenses.robust import Mean, TrimmedMean

NUMBERS = st.one_of(st.integers(-2, 2).map(float), st.floats(-1e6, 1e6, width=32))


def oracle(updates, f):
    return torch.tensor([float(x) for x in trimmed_mean(updates.tolist(), f)], dtype=torch.float64)


@given(st.integers(0, 3), st.integers(1, 4), st.data())
def test_it_is_the_paper_s(f, d, data):
    n = 2 * f + 1 + data.draw(st.integers(0, 4))
    rows = data.draw(st.lists(st.lists(NUMBERS, min_size=d, max_size=d), min_size=n, max_size=n))
    updates = torch.tensor(rows, dtype=torch.float64)
    made = TrimmedMean(n_byzantine=f)(updates)
    assert torch.allclose(made, oracle(updates, f), rtol=1e-14, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_far_rows_are_dropped_to_the_bit(dtype):
    """A sum less its extremes would leave nothing of the rest beside finfo.max / 16."""
    honest = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    top = torch.finfo(dtype).max / 16
    for far in ([top, top], [top, -top]):
        sent = torch.tensor(far, dtype=torch.float64)[:, None].repeat(1, 5).to(dtype)
        updates = torch.cat([honest, sent])
        made = TrimmedMean(n_byzantine=2)(updates)
        assert torch.equal(made, oracle(updates, 2).to(dtype))


def test_float16_rows_do_not_overflow_on_the_way():
    updates = torch.full((9, 3), 60000.0, dtype=torch.float16)
    assert torch.equal(TrimmedMean(n_byzantine=1)(updates), updates[0])


def test_each_coordinate_lies_between_honest_values():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        honest = torch.randn(5, 4, generator=generator)
        sent = torch.randn(2, 4, generator=generator) * 10
        made = TrimmedMean(n_byzantine=2)(torch.cat([honest, sent]))
        assert (made >= honest.min(dim=0).values).all()
        assert (made <= honest.max(dim=0).values).all()


def test_without_attackers_it_is_the_mean():
    updates = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(TrimmedMean(n_byzantine=0)(updates), Mean()(updates))


@pytest.mark.parametrize("f", range(5))
def test_every_invalid_pair_is_refused(f):
    for n in range(1, 2 * f + 1):
        with pytest.raises(PlanError, match=f"needs at least {2 * f + 1} rows"):
            TrimmedMean(n_byzantine=f)(torch.ones(n, 1))


@pytest.mark.parametrize("f", [-1, 1.0, True, None])
def test_a_number_of_attackers_that_is_none_is_refused(f):
    with pytest.raises(ValueError, match="n_byzantine must be a whole number"):
        TrimmedMean(n_byzantine=f)


def test_n_byzantine_is_named():
    with pytest.raises(TypeError):
        TrimmedMean(2)


@pytest.mark.parametrize(
    ("n", "f", "relation", "found"),
    # found by hill climbing for clip norm 1 (the two neighbours below attain it)
    [
        (7, 2, Relation.REPLACE_ONE, 0.6667),
        (9, 2, Relation.REPLACE_ONE, 0.4),
        (7, 2, Relation.ZERO_OUT, 0.3333),
        (9, 2, Relation.ZERO_OUT, 0.2),
    ],
)
def test_its_sensitivity_is_attained(n, f, relation, found):
    """With f rows at each end, the last row moves the kept sum by all it moves itself."""
    rule, updates = TrimmedMean(n_byzantine=f), torch.zeros(n, 1, dtype=torch.float64)
    updates[:f], updates[f : 2 * f], updates[-1] = 1, -1, 1
    other = updates.clone()
    other[-1] = -1 if relation is Relation.REPLACE_ONE else 0
    moved = float((rule(updates) - rule(other)).abs())
    assert moved == pytest.approx(rule.sensitivity(1.0, n, relation), rel=1e-12)
    assert moved == pytest.approx(found, abs=1e-4)


def test_add_remove_has_no_bound():
    """The denominator n - 2f would be private."""
    assert TrimmedMean(n_byzantine=1).sensitivity(1.0, 10, Relation.ADD_REMOVE) is None
