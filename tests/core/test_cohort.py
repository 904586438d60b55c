"""Who takes part, and what is public about them."""

import pytest
import torch

from privfl.core import Cohort, decode, encode

OWNERS = torch.tensor([[True, True], [True, False]])


def test_a_number_makes_names():
    assert Cohort.of(3).members == (0, 1, 2)
    assert Cohort.of(["a", 7]).members == ("a", 7)
    cohort = Cohort.of(2)
    assert Cohort.of(cohort) is cohort


def test_weights_are_one_unless_they_are_given():
    assert Cohort.of(3).total_weight == 3
    assert Cohort.of(3).weight(1) == 1
    cohort = Cohort(("a", "b"), (0.5, 2))
    assert cohort.total_weight == 2.5
    assert cohort.weight("b") == 2
    assert cohort.weight_of(("b",), 4).tolist() == [2]


def test_weights_differ_by_coordinate_where_owners_do():
    cohort = Cohort(("a", "b"), (0.5, 2.0), OWNERS)
    assert cohort.weight_of(("a", "b"), 2).tolist() == [2.5, 0.5]
    assert cohort.weight_of(("b",), 2).tolist() == [2.0, 0.0]
    assert cohort.weight_of(("b",), 3).tolist() == [2.0, 0.0, 2.0]


def test_a_part_of_a_cohort_keeps_weights_and_owners():
    part = Cohort(("a", "b"), (0.5, 2.0), OWNERS).only(("b",))
    assert part == Cohort(("b",), (2.0,), OWNERS[1:])
    assert part != Cohort(("b",), (2.0,), OWNERS[:1])
    assert part != Cohort(("b",), (2.0,))


@pytest.mark.parametrize(
    "cohort", [Cohort.of(3), Cohort(("a", 1), (1, 0)), Cohort((0, 1), None, OWNERS)]
)
def test_a_cohort_survives_bytes(cohort):
    back = Cohort.from_state(decode(encode(cohort.to_state())))
    assert back == cohort
    assert hash(back) == hash(cohort)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (((),), "at least one client"),
        ((("a", "a"),), "each client once"),
        (((0, "server"),), "No client is called 'server'"),
        (((None,),), "numbers or strings"),
        (((0.5,),), "numbers or strings"),
        ((("a", "b"), (1.0,)), "2 finite numbers from 0 up"),
        ((("a", "b"), (1.0, -1.0)), "2 finite numbers from 0 up"),
        ((("a", "b"), (0.0, 0.0)), "not all 0"),
        ((("a", "b"), (1.0, float("nan"))), "finite"),
        ((("a", "b"), (1.0, float("inf"))), "finite"),
        ((("a", "b"), None, torch.ones(2, 2)), "owners must be bool"),
        ((("a", "b"), None, OWNERS[0]), "owners must be bool"),
        ((("a",), None, OWNERS), r"\(1, d\). Found torch.bool of shape \(2, 2\)"),
    ],
)
def test_a_cohort_that_is_none_is_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        Cohort(*arguments)
