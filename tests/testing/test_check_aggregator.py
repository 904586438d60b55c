"""Each law of an aggregator is broken by some rule: a law that cannot fail is none."""

from dataclasses import dataclass

import pytest
import torch

from privfl.core import Relation
from privfl.defenses.robust import NNM, Krum, Mean, RobustRule, TrimmedMean
from privfl.parts import Aggregator
from privfl.testing import AGGREGATOR_LAWS, Card, LawBroken, check_aggregator


class Loose(Aggregator):
    """Its parameters can change between rounds."""

    def columns(self, block, weights=None):
        return block.double().mean(dim=0)


@dataclass(frozen=True)
class First(Aggregator):
    """Believes who answers first."""

    def __call__(self, updates, weights=None):
        return super().__call__(updates[:1].repeat(len(updates), 1))

    def columns(self, block, weights=None):
        return block[0]


@dataclass(frozen=True)
class Widened(Mean):
    """Forgets the dtype."""

    def __call__(self, updates, weights=None):
        return super().__call__(updates, weights).double()


@dataclass(frozen=True)
class Narrow(Mean):
    """Adds up in float16."""

    def __call__(self, updates, weights=None):
        checked = super().__call__(updates, weights)
        return updates.sum(dim=0) / len(updates) if updates.dtype == torch.float16 else checked


@dataclass(frozen=True)
class Overwriting(Mean):
    """Clips the caller's own tensor."""

    def __call__(self, updates, weights=None):
        checked = super().__call__(updates, weights)
        updates.clamp_(-0.5, 0.5)
        return checked


@dataclass(frozen=True)
class Sum(Aggregator):
    """Forgets to divide."""

    def columns(self, block, weights=None):
        return block.double().sum(dim=0)


@dataclass(frozen=True)
class Smallest(RobustRule):
    """Averages the rows of least norm, which moving them changes; and says otherwise."""

    n_byzantine: int = 1

    @property
    def min_rows(self):
        return 3

    def __call__(self, updates, weights=None):
        super().__call__(updates, weights)
        norms = updates.double().norm(dim=1)
        return updates[norms.argsort(stable=True)[: len(updates) - 1]].mean(dim=0)

    def columns(self, block, weights=None):
        return block.double().mean(dim=0)


@dataclass(frozen=True)
class Forgiving(Aggregator):
    """Turns NaN into a number."""

    def __call__(self, updates, weights=None):
        return Mean()(updates.nan_to_num())


@dataclass(frozen=True)
class Eager(Aggregator):
    """Says that it needs three rows, and takes one."""

    min_rows = 3

    def __call__(self, updates, weights=None):
        return Mean()(updates)


@dataclass(frozen=True)
class Ignoring(Aggregator):
    """Takes weights and ignores them."""

    def __call__(self, updates, weights=None):
        return Mean()(updates)


@dataclass(frozen=True)
class Boasting(RobustRule):
    """Averages, and says that it is robust."""

    n_byzantine: int = 1

    def columns(self, block, weights=None):
        return block.double().mean(dim=0)

    def kappa(self, n):
        return 1.0


@dataclass(frozen=True)
class Understated(Krum):
    """States the sensitivity of a mean."""

    def sensitivity(self, clip_norm, n, relation):
        return Mean().sensitivity(clip_norm, n, relation)


BROKEN = [
    (Loose(), "it is a frozen dataclass"),
    (First(), "permuting the rows changes no bit"),
    (Widened(), "dtype, device and shape are kept, half precision too"),
    (Overwriting(), "the input is not changed"),
    (Narrow(), "equal rows give that row"),
    (Sum(), "equal rows give that row"),
    (Smallest(), "moving and scaling the rows moves and scales the result"),
    (Forgiving(), "rows with NaN or Inf raise a ValueError"),
    (Eager(), "too few rows raise a ValueError"),
    (Ignoring(), "weights count copies, or raise a ValueError"),
    (Boasting(), "n_byzantine far rows move it no further than kappa says"),
    (Understated(n_byzantine=1), "one client moves it no further than its sensitivity"),
]


def named(value):
    return value if isinstance(value, str) else type(value).__name__


@pytest.mark.parametrize(("rule", "law"), BROKEN, ids=named)
def test_a_broken_rule_breaks_its_law(rule, law):
    card = check_aggregator(rule)
    assert law in {failure.law for failure in card.failures}


def test_every_law_has_a_rule_that_breaks_it():
    assert {law for _, law in BROKEN} == {law.says for law in AGGREGATOR_LAWS}


@pytest.mark.parametrize(
    "rule",
    [Mean(), TrimmedMean(n_byzantine=2), Krum(n_byzantine=1), NNM(TrimmedMean(n_byzantine=1))],
    ids=repr,
)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_product_s_own_rules_pass(rule, seed):
    card = check_aggregator(rule, seed=seed)
    assert card.passed, str(card)
    card.require()


def test_the_card_shows_the_smallest_witness_and_can_raise():
    card = check_aggregator(Sum())
    assert isinstance(card, Card)
    assert not card.passed
    text = str(card)
    assert text.startswith("Sum()\n")
    assert "FAILED      equal rows give that row" in text
    assert "2 times [" in text  # one row is not enough to see it, two are
    with pytest.raises(LawBroken, match="equal rows give that row"):
        card.require()
    assert issubclass(LawBroken, AssertionError)


def test_a_rule_that_crashes_fails_and_does_not_end_the_check():
    @dataclass(frozen=True)
    class Crashing(Aggregator):
        def columns(self, block, weights=None):
            raise RuntimeError("out of luck")

    card = check_aggregator(Crashing())
    assert any("RuntimeError: out of luck" in failure.witness for failure in card.failures)
    assert len(card.findings) == len(AGGREGATOR_LAWS)


def test_what_is_not_claimed_is_listed():
    text = str(check_aggregator(Mean()))
    assert "not claimed n_byzantine far rows" in text


def test_krum_s_bound_is_held_under_every_relation():
    assert {Krum(n_byzantine=1).sensitivity(1.0, 5, relation) for relation in Relation} == {2.0}
