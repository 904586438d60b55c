"""Min-Max goes exactly as far as the paper's search, and is never capped."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oracles.min_max import largest_gamma
from privfl.attacks.poisoning import MinMax

STEPS = {
    "unit": lambda rows: -rows.mean(dim=0) / rows.mean(dim=0).norm(),
    "std": lambda rows: -rows.std(dim=0, correction=0),
    "sign": lambda rows: -rows.mean(dim=0).sign(),
}


@pytest.mark.parametrize("direction", STEPS)
@given(st.integers(2, 6), st.integers(1, 4), st.integers(0, 10**6))
def test_it_sends_what_bisection_finds(direction, m, d, seed):
    rows = torch.randn(m, d, generator=torch.Generator().manual_seed(seed)).double()
    step = STEPS[direction](rows)
    expected = rows.mean(dim=0) + largest_gamma(rows, step) * step
    sent = MinMax(n_byzantine=1, direction=direction)(rows)[0]
    assert torch.allclose(sent, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("direction", STEPS)
def test_it_is_hidden_and_could_not_go_further(direction):
    honest = torch.randn(8, 300, generator=torch.Generator().manual_seed(0))
    sent = MinMax(n_byzantine=1, direction=direction)(honest)
    between = torch.cdist(honest, honest, compute_mode="donot_use_mm_for_euclid_dist").max()
    away = torch.cdist(sent, honest, compute_mode="donot_use_mm_for_euclid_dist").max()
    assert float(away / between) == pytest.approx(1, rel=1e-5)


def test_gamma_has_no_cap():
    """Honest updates a thousand apart and a step of one: a cap of 5 or 10 would hide it."""
    honest = torch.tensor([[1e3, 1e-9], [-1e3, 1e-9]], dtype=torch.float64)
    sent = MinMax(n_byzantine=1, direction="sign")(honest)[0]
    assert float(-sent[1]) == pytest.approx(3**0.5 * 1e3)


@pytest.mark.parametrize(
    "honest", [torch.ones(1, 3), torch.ones(4, 3), torch.zeros(3, 2), torch.tensor([[1.0], [-1.0]])]
)
@pytest.mark.parametrize("direction", STEPS)
def test_where_it_cannot_hide_or_has_no_direction_it_sends_the_mean(direction, honest):
    sent = MinMax(n_byzantine=1, direction=direction)
    if direction == "std" and len(honest) == 2:
        assert not sent.is_silent(honest)
    else:
        assert sent.is_silent(honest)


def test_a_direction_that_is_none_is_refused():
    with pytest.raises(ValueError, match="direction must be one of"):
        MinMax(n_byzantine=1, direction="mean")
