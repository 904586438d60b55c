"""The largest coordinates are sent, the others are remembered, and nothing is lost."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.top_k import error_feedback, top_k
from privfl import CompositionError, Pipeline, PlanError
from privfl.compression import TopK
from privfl.crypto import Stream
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.he import CKKS
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import Krum, TrimmedMean
from privfl.parts import Grouped, Mean
from privfl.rounds import Opening, Setting
from privfl.testing import check_wrapper
from rounds.test_memory import Bank, close, lossy
from rounds_for_tests import whole_numbers

WHOLE = st.integers(-50, 50)


def at_of(k, dim, state=None):
    """What TopK may know in a pipeline of its own."""
    line = Pipeline(TopK(k))
    return Setting(line, Opening.fresh(line, 2, dim)).at(0, Stream.replay(0), state)


def as_tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def test_it_keeps_the_laws_of_a_wrapper():
    assert check_wrapper(TopK(1)).passed


def test_the_largest_of_both_signs_are_kept():
    made = TopK(2).apply(torch.tensor([1.0, -4.0, 0.5, 3.0]), at_of(2, 4))
    assert made.tolist() == [0, -4, 0, 3]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=30), st.data())
def test_what_is_left_out_is_at_most_its_share_of_the_squared_norm(x, data):
    """Stich et al. 2018, definition 2.1 and (5): for every vector, not on average."""
    k = data.draw(st.integers(1, len(x)))
    x = as_tensor(x)
    left = (x - TopK(k).apply(x, at_of(k, len(x)))).square().sum()
    assert left <= (1 - k / len(x)) * x.square().sum() * (1 + 1e-12)


def test_equal_coordinates_attain_that_share():
    x = torch.ones(10).double()
    assert (x - TopK(3).apply(x, at_of(3, 10))).square().sum() == 7


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.lists(WHOLE, min_size=4, max_size=4, unique_by=abs), st.booleans()),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 4),
)
def test_one_client_s_books_are_those_of_the_paper(steps, k):
    """Ties aside, what is sent and what is remembered is that of the slow algorithm."""
    updates = [[1000 * v + j for j, v in enumerate(u)] for u, _ in steps]
    counted = [reached for _, reached in steps]
    sent, error = error_feedback(updates, counted, k)
    state = None
    for update, reached, wanted in zip(updates, counted, sent, strict=True):
        at = at_of(k, 4, state)
        made = TopK(k).apply(as_tensor(update), at)
        assert sorted(made.abs().tolist()) == sorted(map(abs, wanted))
        state = TopK(k).settle(as_tensor(update), made, at, reached)
    assert (as_tensor(sent)[counted].sum(dim=0) + state).tolist() == [
        sum(column) for column in zip(*updates, strict=True)
    ]
    assert state.abs().sum() == sum(map(abs, error))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.sets(st.integers(0, 2), max_size=2), min_size=1, max_size=6), st.integers(1, 5))
def test_all_that_clients_computed_comes_out_in_the_end(gone, k):
    """Rounds with dropouts, then quiet rounds until every memory is empty: nothing was lost."""
    shield, state = Pipeline(TopK(k)), None
    owed = torch.zeros(5, dtype=torch.float64)
    out = torch.zeros(5, dtype=torch.float64)
    for number, absent in enumerate([*gone, *[None] * 5]):
        updates = whole_numbers(3, 5, number) if absent is not None else torch.zeros(3, 5).double()
        release = shield.aggregate(updates, state=state, drop=dict.fromkeys(absent or (), "upload"))
        state = release.state
        owed += updates[list(release.survivors)].sum(dim=0)
        out += release.update * len(release.survivors)
    assert torch.allclose(out, owed, rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", [0.2, 0.6])
@pytest.mark.parametrize("parts", [(TopK(2),), (TopK(1), Clip(1e9), Mean())], ids=repr)
def test_the_books_balance_where_letters_and_replies_are_lost(parts, loss):
    """A client whose reply was lost learns with the next opening that it was not counted."""
    bank = Bank(Pipeline(*parts), 4, 6)
    outcomes = [bank.round(lossy(seed, loss / 2)) for seed in range(15)]
    assert any(outcomes)
    assert close(bank.released + bank.kept(), bank.owed)


def test_an_averager_moves_the_model_by_all_updates_in_the_end():
    averager, model = Pipeline(TopK(1)).averager([np.zeros(3)]), [np.zeros(3)]
    updates = [np.array([3.0, 2.0, 1.0]), np.array([0.0, 4.0, -8.0])]
    for round_ in range(3):
        moves = updates if round_ == 0 else [np.zeros(3)] * 2
        model = averager([[model[0] + move] for move in moves])
        if round_ == 0:
            assert model[0].tolist() == [1.5, 0.0, -4.0]
    assert model[0].tolist() == [1.5, 3.0, -3.5]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_broken_update_is_dropped_and_forgotten(bad):
    """Without a privacy claim its row is named; its memory is what it was before."""
    shield = Pipeline(TopK(1))
    first = shield.aggregate(torch.tensor([[3.0, 1.0], [0.0, 0.0]]))
    broken = shield.aggregate(torch.tensor([[bad, 0.0], [5.0, 0.0]]), state=first.state)
    assert broken.update.tolist() == [5, 0]
    assert dict(broken.rejected) == {0: "NaN or Inf"}
    healed = shield.aggregate(torch.zeros(2, 2), state=broken.state)
    assert healed.update.tolist() == [0, 0.5]


def test_behind_a_clip_a_broken_update_counts_as_zero_and_is_forgotten():
    shield = Pipeline(TopK(1), Clip(10.0), Mean(), CentralGaussianNoise(1e-9))
    first = shield.aggregate(torch.tensor([[3.0, 1.0]]))
    broken = shield.aggregate(torch.tensor([[math.nan, 0.0]]), state=first.state)
    assert broken.update.abs().max() < 1e-6
    healed = shield.aggregate(torch.zeros(1, 2), state=broken.state)
    assert healed.update.tolist() == pytest.approx([0, 1], abs=1e-6)


def test_more_coordinates_than_there_are_is_refused_by_the_plan():
    with pytest.raises(PlanError, match="chooses 7 coordinates out of 6") as error:
        Pipeline(TopK(7)).plan(n_clients=3, dim=6)
    assert error.value.rule == "R32"


@pytest.mark.parametrize("k", [0, -1, 2.0, True])
def test_a_number_that_is_no_count_is_refused(k):
    with pytest.raises(ValueError, match="k must be a whole number"):
        TopK(k)


@pytest.mark.parametrize(
    "parts",
    [
        (TopK(2), Krum(n_byzantine=1)),
        (TopK(2), TrimmedMean(n_byzantine=1)),
        (TopK(2), Clip(1.0), LocalGaussianNoise(1.0)),
        (TopK(2), Clip(1.0), Mean(), CentralGaussianNoise(1.0)),
        (TopK(2), Clip(1.0), CKKS()),
    ],
    ids=repr,
)
def test_it_composes_with_whatever_sees_each_update_or_travels_densely(parts):
    release = Pipeline(*parts).aggregate(torch.eye(5, 6))
    assert len(release.update) == 6


@pytest.mark.parametrize(
    ("parts", "rule", "pair"),
    [
        ((TopK(2), Clip(1.0), SecAgg()), "R32", (TopK(2), SecAgg())),
        ((TopK(2), Clip(1.0), Grouped(SecAgg(), size=3)), "R32", (TopK(2), SecAgg())),
        ((Clip(1.0), TopK(2)), "R4", (Clip(1.0), TopK(2))),
    ],
    ids=repr,
)
def test_it_is_refused_where_only_sums_are_seen_and_behind_a_clip(parts, rule, pair):
    with pytest.raises(CompositionError) as error:
        Pipeline(*parts)
    assert (error.value.rule, error.value.parts) == (rule, pair)


def test_the_oracle_keeps_the_largest():
    assert top_k([1, -4, 2], 2) == [0, -4, 2]
