"""The small words: scalars, rows, relations, vantages, errors, checks."""

import copy
import math
import pickle

import dp_accounting as dp
import pytest
import torch

from privfl.core import (
    SERVER,
    CompositionError,
    Contract,
    Plan,
    PlanError,
    ProtocolAbort,
    Relation,
    Rows,
    Scalar,
    Unit,
    Vantage,
    joint_factor,
    require_count,
    require_finite,
    require_matrix,
    require_positive,
)
from privfl.core._cohort import Cohort

# scalars


def test_the_joint_bound_is_the_root_of_the_squares():
    assert joint_factor(()) == 1
    assert joint_factor((Scalar("a", 1, share=3 / 4),)) == 5 / 4
    assert joint_factor((Scalar("a", 9), Scalar("b", 9))) == math.sqrt(3)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("", 1.0), "needs a name"),
        (("a", 0.0), "bound must be positive"),
        (("a", math.inf), "bound must be positive"),
        (("a", 1.0, -1.0), "share must be positive"),
    ],
)
def test_a_scalar_that_bounds_nothing_is_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        Scalar(*arguments)


# rows


def test_a_row_is_divided_by_those_who_are_counted():
    rows = Rows(torch.tensor([[6.0], [4.0]]), ((0, 1, 2), (3,)))
    assert rows.means.tolist() == [[2.0], [4.0]]
    assert rows.survivors == (0, 1, 2, 3)


def test_a_row_is_divided_by_its_weight_in_its_own_dtype():
    rows = Rows(torch.tensor([[6.0, 6.0]]).half(), ((0, 1),), torch.tensor([[1.5, 0.0]]).double())
    assert rows.means.tolist() == [[4.0, 6.0]]
    assert rows.means.dtype == torch.float16


def test_rows_are_picked_with_their_members_and_weights():
    rows = Rows(torch.eye(3), ((0,), (1, 2), ("c",)), torch.arange(3.0)[:, None])
    picked = rows.only([2, 1])
    assert picked.members == (("c",), (1, 2))
    assert picked.sums.tolist() == [[0, 0, 1], [0, 1, 0]]
    assert picked.weight.flatten().tolist() == [2, 1]


# relations, units, vantages


def test_a_relation_has_its_words_and_its_distance():
    assert Relation.of("zero-out").change(3.0) == 3
    assert Relation.of("replace-one").change(3.0) == 6
    assert Relation.of("add/remove").change(3.0) == 3
    assert Relation.of(dp.NeighboringRelation.REPLACE_SPECIAL) is Relation.ZERO_OUT
    assert Relation.of(dp.NeighboringRelation.REPLACE_ONE) is Relation.REPLACE_ONE
    assert Relation.of(dp.NeighboringRelation.ADD_OR_REMOVE_ONE) is Relation.ADD_REMOVE
    assert Relation.of(Relation.ADD_REMOVE) is Relation.ADD_REMOVE


@pytest.mark.parametrize("value", ["replace", 3, None])
def test_an_unknown_relation_is_refused(value):
    with pytest.raises(ValueError, match=r"zero-out, replace-one, add/remove. Found"):
        Relation.of(value)


def test_vantages_are_sets_of_parties():
    both = Vantage.SERVER | Vantage.client(3, "b")
    assert SERVER in both
    assert 3 in both
    assert 4 not in both
    assert str(both) == "server + client 3 + client b"
    assert str(Vantage.OUTSIDER) == "outsider"
    assert Vantage() == Vantage.OUTSIDER
    assert Vantage.client(1) | Vantage.client(2) == Vantage.client(2, 1)
    assert {Unit.RECORD, Unit.CLIENT} == {Unit("record"), Unit("client")}


# contracts and plans


def test_a_contract_remembers_who_set_what():
    given = Contract().but("Clip", clip_norm=1.0, enforced_by="client").but("Noise", noise="local")
    assert (given.author("clip_norm"), given.author("noise")) == ("Clip", "Noise")
    assert given.author("weighting") == "no weighting"
    assert given.claims_privacy
    assert given == Contract(clip_norm=1.0, enforced_by="client", noise="local")
    assert not Contract().claims_privacy


def test_a_plan_starts_with_the_cohort():
    cohort = Cohort(("a", "b", "c"), (0.0, 0.5, 2.0))
    plan = Plan.first(cohort, 10, statistics=4, scalars=(Scalar("loss", 1), Scalar("bit", 1)))
    assert (plan.n_clients, plan.dim, plan.total_weight) == (3, 16, 2.5)
    assert (plan.least_weight, plan.largest_weight) == (0.5, 2.0)
    assert plan.scalars_at == slice(14, 16)
    assert Plan.first(Cohort.of(2), 1).scalars_at == slice(1, 1)


# errors


@pytest.mark.parametrize("kind", [CompositionError, PlanError])
def test_a_refusal_carries_rule_parts_and_fix_through_a_process(kind):
    error = kind("R8", ("Krum", "SecAgg"), "Krum needs rows", "Use Mean()")
    for copied in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert isinstance(copied, ValueError)
        assert (copied.rule, copied.parts, copied.fix) == ("R8", ("Krum", "SecAgg"), "Use Mean()")
        assert str(copied) == "[R8] Krum needs rows.\n  Use Mean()."


def test_an_abort_is_no_value_error():
    assert issubclass(ProtocolAbort, RuntimeError)
    assert not issubclass(ProtocolAbort, ValueError)


# checks


@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan, "1", True, None])
def test_what_is_not_positive_is_refused(value):
    with pytest.raises(ValueError, match=r"x must be positive. Found"):
        require_positive("x", value)


@pytest.mark.parametrize("value", [1, 2.0, -1, True, "2"])
def test_what_is_no_count_is_refused(value):
    with pytest.raises(ValueError, match=r"x must be a whole number of at least 2. Found"):
        require_count("x", value, least=2)


@pytest.mark.parametrize(
    ("updates", "text"),
    [
        ([[1.0]], "Found list. Use torch.stack"),
        (torch.zeros(3), r"shape \(3,\) of torch.float32. Stack the rows"),
        (torch.zeros(3, 2).long(), "of torch.int64"),
        (torch.zeros(0, 2), "at least one row and column"),
        (torch.zeros(2, 0), "at least one row and column"),
    ],
)
def test_what_is_no_matrix_of_updates_is_refused(updates, text):
    with pytest.raises(ValueError, match=text):
        require_matrix(updates)


def test_rows_that_are_not_finite_are_named_without_their_values():
    updates = torch.zeros(4, 2)
    updates[1, 0], updates[3, 1] = math.nan, -math.inf
    with pytest.raises(ValueError, match=r"NaN or Inf in rows \[1, 3\]"):
        require_finite(updates)
