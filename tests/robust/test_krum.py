"""Krum against exact arithmetic, and its edges."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oracles.krum import in_byte_order, krum, krum_scores
from privfl.core import PlanError, Relation
from privfl.defenses.robust import Krum


def rows_of(numbers, f, data):
    n, d = 2 * f + 3 + data.draw(st.integers(0, 3)), data.draw(st.integers(1, 4))
    return data.draw(st.lists(st.lists(numbers, min_size=d, max_size=d), min_size=n, max_size=n))


@given(st.integers(0, 2), st.data())
def test_it_is_the_paper_s_and_the_first_of_equals(f, data):
    """On small whole numbers every distance is exact, so that ties are ties."""
    rows = rows_of(st.integers(-2, 2).map(float), f, data)
    made = Krum(n_byzantine=f)(torch.tensor(rows))
    assert made.tolist() == krum(in_byte_order(rows), f)


@given(st.integers(0, 2), st.data())
def test_its_pick_has_the_least_score(f, data):
    rows = rows_of(st.floats(-1e6, 1e6, width=32), f, data)
    made = Krum(n_byzantine=f)(torch.tensor(rows)).tolist()
    scores = krum_scores(rows, f)
    size = max(abs(x) for row in rows for x in row)
    # a score is rounded to 1e-16 of the squares that it is made of
    assert float(scores[rows.index(made)] - min(scores)) <= 1e-12 * size**2 * len(rows)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_far_rows_leave_the_exact_pick(dtype, offset):
    """Two rows at finfo.max / 16, together or opposed: the honest distances must not drown."""
    generator = torch.Generator().manual_seed(0)
    top = torch.finfo(dtype).max / 16
    for far in ([top, top], [top, -top]):
        sent = torch.tensor(far, dtype=torch.float64)[:, None].repeat(1, 3).to(dtype)
        for _ in range(5):
            honest = (torch.randn(8, 3, generator=generator) + offset).to(dtype)
            updates = torch.cat([honest, sent])
            made = Krum(n_byzantine=2)(updates)
            assert made.tolist() == krum(updates.tolist(), 2)


def test_it_picks_late_in_training():
    """Weights of norm 300, updates of 1e-4: a Gram difference of raw float32 rows is noise."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(1000, generator=generator) * 10
    updates = weights + 1e-4 * torch.randn(9, 1000, generator=generator)
    updates[4] = weights + 3e-4 * torch.randn(1000, generator=generator)
    made = Krum(n_byzantine=2)(updates)
    assert made.tolist() == krum(updates.tolist(), 2)


@pytest.mark.parametrize("f", range(4))
def test_every_invalid_pair_is_refused(f):
    for n in range(1, 2 * f + 3):
        with pytest.raises(PlanError, match=f"needs at least {2 * f + 3} rows"):
            Krum(n_byzantine=f)(torch.ones(n, 1))


@pytest.mark.parametrize("d", [1, 70, 5000])
def test_the_result_is_one_of_the_rows(d):
    updates = torch.randn(8, d, generator=torch.Generator().manual_seed(d))
    made = Krum(n_byzantine=2)(updates)
    assert any(torch.equal(made, row) for row in updates)


@pytest.mark.parametrize("relation", list(Relation))
def test_its_sensitivity_is_two_clip_norms(relation):
    assert Krum(n_byzantine=1).sensitivity(0.5, 10, relation) == 1.0


def test_its_sensitivity_is_attained():
    """Of two clusters of equal size the last row decides which is chosen."""
    rule = Krum(n_byzantine=1)
    updates = torch.tensor([[1.0], [1.0], [-1.0], [-1.0], [1.0]])
    other = updates.clone()
    other[-1] = -1
    assert float(rule(updates) - rule(other)) == 2.0
