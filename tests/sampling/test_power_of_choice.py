import math
from collections import Counter

import pytest
import torch
from dp_accounting import GaussianDpEvent
from hypothesis import given
from hypothesis import strategies as st

from privfl.core import Charge, CompositionError, Relation, Unit, Vantage
from privfl.crypto import Stream
from privfl.sampling import FixedSize, PowerOfChoice, Sampling, Stratified, amplified

STEP = GaussianDpEvent(1.0)


def test_every_set_of_candidates_is_equally_likely():
    """Ten sets of 3 of 5 in 5,000 draws: a chi-square of 9 degrees stays below 46 (1e-6)."""
    draws = PowerOfChoice(candidates=3, size=1).draws(5, 5000, Stream.replay(0))
    seen = Counter(tuple(rows.tolist()) for rows in draws)
    assert len(seen) == 10
    assert all(len(set(rows)) == 3 for rows in seen)
    assert sum((count - 500) ** 2 / 500 for count in seen.values()) < 46


@given(st.lists(st.floats(), min_size=1, max_size=8), st.integers(1, 8))
def test_nobody_left_out_has_a_larger_loss_than_who_is_chosen(losses, size):
    candidates = torch.arange(len(losses)) * 3
    kept = PowerOfChoice(candidates=8, size=size).chosen(candidates, losses)
    assert len(kept) == min(size, len(losses))
    assert (kept.diff() > 0).all()
    worth = [loss if math.isfinite(loss) else -math.inf for loss in losses]
    chosen = [row // 3 for row in kept.tolist()]
    out = set(range(len(losses))) - set(chosen)
    assert all(worth[i] >= worth[o] for i in chosen for o in out)
    assert all(i < o for i in chosen for o in out if worth[i] == worth[o])


@pytest.mark.parametrize(
    ("losses", "kept"),
    [
        ([1.0, 3.0, 2.0, 0.5], [20, 30]),
        ([3.0, 1.0, 0.5, 2.0], [10, 40]),
        ([1.0, 1.0, 1.0, 1.0], [10, 20]),
        ([1.0, 2.0, 2.0, 2.0], [20, 30]),
        ([math.inf, 0.1, math.nan, 0.2], [20, 40]),
        ([math.nan, -math.inf, math.inf, -5.0], [10, 40]),
    ],
)
def test_the_largest_losses_are_kept_in_the_order_of_the_candidates(losses, kept):
    choice = PowerOfChoice(candidates=4, size=2)
    found = choice.chosen(torch.tensor([10, 20, 30, 40]), losses)
    assert found.tolist() == kept
    assert found.dtype == torch.int64


def test_with_no_more_candidates_than_are_chosen_it_is_a_fixed_size():
    choice, plain = PowerOfChoice(candidates=3, size=3), FixedSize(3)
    pairs = (sampling.draws(9, 20, Stream.replay(4)) for sampling in (choice, plain))
    for rows, same in zip(*pairs, strict=True):
        assert rows.tolist() == same.tolist()
        assert choice.chosen(rows, [0.1, 7.0, 0.2]).tolist() == same.tolist()


def test_a_sum_is_divided_by_those_who_are_chosen():
    choice = PowerOfChoice(candidates=30, size=10)
    assert (choice.expected(100), choice.steps_of(100)) == (10, 10)


def test_only_it_says_that_losses_choose():
    assert PowerOfChoice(candidates=2, size=1).by_loss
    others = (Sampling(), FixedSize(1), Stratified(("a",), each=1))
    assert not any(sampling.by_loss for sampling in others)


@pytest.mark.parametrize("relation", list(Relation))
def test_no_privacy_claim_rests_on_a_choice_by_loss(relation):
    choice = PowerOfChoice(candidates=4, size=2)
    assert not choice.amplifies(relation)
    with pytest.raises(CompositionError, match=r"chooses by loss") as caught:
        choice.accounted(STEP, 10, 1, relation)
    assert caught.value.rule == "R12"
    charge = Charge(STEP, Unit.CLIENT, Vantage.SERVER, relation)
    with pytest.raises(CompositionError):
        amplified([charge], choice, 10, member=True)
    assert amplified([], choice, 10, member=True) == ()


@pytest.mark.parametrize(
    ("candidates", "size", "said"),
    [
        (2, 0, "size must be a whole number of at least 1"),
        (2, 3, "candidates must be a whole number of at least 3. Found 2"),
        (2.5, 1, "candidates must be a whole number of at least 1"),
    ],
)
def test_a_choice_that_is_none_is_refused(candidates, size, said):
    with pytest.raises(ValueError, match=said):
        PowerOfChoice(candidates=candidates, size=size)


def test_more_candidates_than_units_and_missing_losses_are_refused():
    choice = PowerOfChoice(candidates=5, size=2)
    with pytest.raises(ValueError, match=r"at most the number of units, 4. Found 5"):
        list(choice.draws(4, 1, Stream()))
    with pytest.raises(ValueError, match=r"one for each of the 2 candidates. Found 1"):
        choice.chosen(torch.tensor([1, 2]), [0.5])
