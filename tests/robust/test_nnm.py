"""Nearest-neighbour mixing against exact arithmetic, and its edges."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oracles.krum import in_byte_order, krum_scores
from oracles.nnm import nnm
from oracles.trimmed_mean import trimmed_mean
from privfl.core import PlanError, Relation
from privfl.defenses.robust import NNM, Krum, Mean, RobustRule, TrimmedMean
from privfl.parts import Aggregator

WHOLE = st.integers(-3, 3).map(float)  # every distance is exact, so that ties are ties


def rows_of(numbers, least, data):
    n, d = least + data.draw(st.integers(0, 3)), data.draw(st.integers(1, 3))
    return data.draw(st.lists(st.lists(numbers, min_size=d, max_size=d), min_size=n, max_size=n))


@given(st.integers(0, 2), st.data())
def test_before_a_trimmed_mean_it_is_the_paper_s(f, data):
    rows = rows_of(WHOLE, 2 * f + 1, data)
    made = NNM(TrimmedMean(n_byzantine=f))(torch.tensor(rows, dtype=torch.float64))
    expected = trimmed_mean(nnm(in_byte_order(rows, "d"), f), f)
    assert made.tolist() == pytest.approx([float(x) for x in expected], abs=1e-12)


@given(st.integers(0, 2), st.data())
def test_before_krum_it_is_the_paper_s(f, data):
    """Mixing makes rows alike, so that several may have the least score."""
    rows = rows_of(WHOLE, 2 * f + 3, data)
    made = NNM(Krum(n_byzantine=f))(torch.tensor(rows, dtype=torch.float64))
    mixed = nnm(in_byte_order(rows, "d"), f)
    scores = krum_scores(mixed, f)
    best = [row for row, score in zip(mixed, scores, strict=True) if score == min(scores)]
    assert any(made.tolist() == pytest.approx(list(map(float, row)), abs=1e-9) for row in best)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("rule", [TrimmedMean(n_byzantine=2), Krum(n_byzantine=2)], ids=repr)
def test_far_rows_leave_the_exact_result(dtype, rule):
    top = torch.finfo(dtype).max / 16
    honest = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    sent = torch.tensor([[top], [-top]], dtype=torch.float64).repeat(1, 3).to(dtype)
    updates = torch.cat([honest, sent])
    mixed = nnm(updates.tolist(), 2)
    made = NNM(rule)(updates).tolist()
    if isinstance(rule, TrimmedMean):
        expected = trimmed_mean(mixed, 2)
    else:
        scores = krum_scores(mixed, 2)
        expected = mixed[scores.index(min(scores))]
    relative = 2 * torch.finfo(dtype).eps
    assert made == pytest.approx([float(x) for x in expected], rel=relative, abs=relative)


def test_twice_mixed_is_mixed_twice():
    updates = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)).double()
    made = NNM(NNM(TrimmedMean(n_byzantine=1)))(updates)
    expected = trimmed_mean(nnm(nnm(updates.tolist(), 1), 1), 1)
    assert made.tolist() == pytest.approx([float(x) for x in expected], abs=1e-12)


def test_it_takes_the_rule_s_own_number():
    rule = Krum(n_byzantine=2)
    assert NNM(rule) == NNM(rule, n_byzantine=2)
    assert repr(NNM(rule)) == "NNM(rule=Krum(n_byzantine=2), n_byzantine=2)"
    assert NNM(rule, n_byzantine=1).n_byzantine == 1


@dataclass(frozen=True)
class Median(Aggregator):
    """A rule without a number of its own."""

    def columns(self, block, weights=None):
        return block.quantile(0.5, dim=0)


@dataclass(frozen=True)
class Whole(Aggregator):
    """A rule that does not work by columns."""

    def __call__(self, updates, weights=None):
        return updates[0]


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        (Median(), r"takes n_byzantine from its rule. Found none in Median\(\). Write NNM\(Median"),
        (Mean(), "takes a robust rule. Found Mean.*one row moves it anywhere"),
        (Whole(), "works by columns, or by a mixture"),
        (Krum, r"NNM takes a rule, NNM\(TrimmedMean"),
    ],
)
def test_a_rule_that_cannot_follow_is_refused(rule, found):
    with pytest.raises(ValueError, match=found):
        NNM(rule)


def test_more_attackers_than_the_rule_stands_are_refused():
    with pytest.raises(ValueError, match="NNM stands no more attackers than its rule"):
        NNM(Krum(n_byzantine=1), n_byzantine=2)


def test_a_rule_without_a_number_takes_one():
    made = NNM(Median(), n_byzantine=1)(torch.tensor([[0.0], [1.0], [2.0], [90.0]]))
    assert made.tolist() == [1.0]


@pytest.mark.parametrize(("rule", "least"), [(TrimmedMean, 5), (Krum, 7)])
def test_it_needs_the_rows_that_its_rule_needs(rule, least):
    with pytest.raises(PlanError, match=f"needs at least {least} rows"):
        NNM(rule(n_byzantine=2))(torch.ones(least - 1, 2))
    assert NNM(rule(n_byzantine=2))(torch.ones(least, 2)).tolist() == [1, 1]


@pytest.mark.parametrize("relation", list(Relation))
def test_before_a_hull_rule_its_sensitivity_is_two_clip_norms(relation):
    assert NNM(Krum(n_byzantine=1)).sensitivity(1.0, 10, relation) == 2.0


def test_before_a_trimmed_mean_it_is_longer_and_needs_a_public_n():
    rule = NNM(TrimmedMean(n_byzantine=2))
    assert rule.sensitivity(1.0, 8, Relation.ZERO_OUT) == pytest.approx(2 * 2**0.5)
    assert rule.sensitivity(1.0, 8, Relation.ADD_REMOVE) is None


def test_before_a_rule_of_unknown_length_there_is_no_bound():
    rule = NNM(Median(), n_byzantine=1)
    assert rule.sensitivity(1.0, 8, Relation.ZERO_OUT) is None
    assert rule.kappa(8) is None


def test_it_changes_nothing_where_all_rows_are_near():
    assert isinstance(NNM(Krum(n_byzantine=0)), RobustRule)
    updates = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    mean = updates.double().mean(dim=0).float()
    assert torch.allclose(NNM(TrimmedMean(n_byzantine=0))(updates), mean)
