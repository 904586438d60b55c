from collections import Counter
from itertools import combinations, product

import pytest
import torch
from dp_accounting import GaussianDpEvent, SampledWithoutReplacementDpEvent

from privfl.accounting import epsilon_of
from privfl.core import Charge, Relation, Unit, Vantage
from privfl.crypto import Stream
from privfl.sampling import Stratified, amplified

STEP = GaussianDpEvent(1.0)
STRATA = ("a", "b", "a", "b", "a", "b", "b")  # three of a, four of b
A, B = (0, 2, 4), (1, 3, 5, 6)


def test_every_choice_of_each_stratum_is_equally_likely_and_apart_from_the_others():
    """18 samples in 9,000 draws: a chi-square of 17 degrees stays below 63 (4e-7)."""
    draws = Stratified(STRATA, each=2).draws(7, 9000, Stream.replay(2))
    seen = Counter(tuple(rows.tolist()) for rows in draws)
    pairs = product(combinations(A, 2), combinations(B, 2))
    assert set(seen) == {tuple(sorted(a + b)) for a, b in pairs}
    assert sum((count - 500) ** 2 / 500 for count in seen.values()) < 63


def test_a_sample_is_made_of_indices():
    (rows,) = Stratified(STRATA, each=3).draws(7, 1, Stream.replay(0))
    assert rows.dtype == torch.int64
    assert rows[torch.isin(rows, torch.tensor(A))].tolist() == list(A)


def test_strata_may_be_named_by_anything():
    strata = (3, ("north", 1), None, 3, ("north", 1), None)
    sampling = Stratified(strata, each=1)
    assert sampling.expected(6) == 3
    assert sampling.steps_of(6) == 2


def test_it_is_worth_a_draw_out_of_the_smallest_stratum():
    sampling = Stratified(STRATA, each=2)
    drawn = SampledWithoutReplacementDpEvent(3, 2, STEP)
    assert sampling.accounted(STEP, 7, 5, "replace-one") == (drawn, 5)
    assert sampling.accounted(STEP, 7, 5, "zero-out") == (STEP, 5)
    assert sampling.amplifies("replace-one")
    assert not sampling.amplifies("zero-out")
    assert not sampling.hides_n
    assert not sampling.size_varies


def test_the_smallest_stratum_costs_the_most():
    """Of the strata's own draws, each a valid claim for its units, the charged one is the worst."""
    strata = ("a",) * 20 + ("b",) * 200
    event, _ = Stratified(strata, each=2).accounted(STEP, 220, 1, "replace-one")
    costs = [
        epsilon_of(SampledWithoutReplacementDpEvent(n, 2, STEP), 1e-5, "replace-one").upper
        for n in (20, 200)
    ]
    assert epsilon_of(event, 1e-5, "replace-one").upper == max(costs)


def test_who_is_always_drawn_gains_nothing():
    sampling = Stratified(STRATA, each=3)
    assert not sampling.amplifies("replace-one")
    charge = Charge(STEP, Unit.CLIENT, Vantage.OUTSIDER, Relation.REPLACE_ONE)
    (found,) = amplified([charge], sampling, 7, member=True)
    assert found.event == STEP


def test_a_private_number_of_units_is_refused():
    with pytest.raises(ValueError, match="needs a public number of units"):
        Stratified(STRATA, each=2).accounted(STEP, 7, 5, "add/remove")


@pytest.mark.parametrize(
    ("strata", "each", "said"),
    [
        (STRATA, 4, r"at least each = 4 units. Found {'a': 3, 'b': 4}. Draw fewer"),
        (STRATA, 0, "each must be a whole number of at least 1"),
        ((), 1, "strata must hold the group of each unit"),
    ],
)
def test_strata_that_are_too_small_are_refused(strata, each, said):
    with pytest.raises(ValueError, match=said):
        Stratified(strata, each=each)


def test_another_number_of_units_is_refused():
    sampling = Stratified(STRATA, each=1)
    with pytest.raises(ValueError, match=r"one for each of 6 units. Found 7"):
        list(sampling.draws(6, 1, Stream()))
    with pytest.raises(ValueError, match=r"one for each of 6 units. Found 7"):
        sampling.accounted(STEP, 6, 1, "replace-one")
