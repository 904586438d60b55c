"""Every law of an aggregator holds for every aggregator, on updates that a machine searches for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from privfl.defenses.robust import NNM, Krum, Mean, TrimmedMean
from privfl.testing import AGGREGATOR_LAWS

RULES = [
    Mean(),
    TrimmedMean(n_byzantine=0),
    TrimmedMean(n_byzantine=2),
    Krum(n_byzantine=0),
    Krum(n_byzantine=1),
    NNM(TrimmedMean(n_byzantine=1)),
    NNM(Krum(n_byzantine=1)),
    NNM(TrimmedMean(n_byzantine=2), n_byzantine=1),
    NNM(NNM(Krum(n_byzantine=0))),
]

NUMBERS = st.one_of(
    st.integers(-2, 2).map(float),  # ties
    st.floats(-1e4, 1e4, width=16),
    st.floats(-(2.0**50), 2.0**50, width=32),
)


@st.composite
def updates_for(draw, rule):
    """A few rows more than the rule needs, of one to four coordinates."""
    n, d = rule.min_rows + draw(st.integers(0, 3)), draw(st.integers(1, 4))
    rows = [[draw(NUMBERS) for _ in range(d)] for _ in range(n)]
    return torch.tensor(rows, dtype=draw(st.sampled_from([torch.float32, torch.float64])))


CASES = [(rule, law) for rule in RULES for law in AGGREGATOR_LAWS if law.claimed(rule)]


@pytest.mark.parametrize(("rule", "law"), CASES, ids=[f"{rule}: {law.says}" for rule, law in CASES])
@settings(max_examples=30)
@given(data=st.data())
def test_a_law_holds(rule, law, data):
    law.check(rule, data.draw(updates_for(rule)))


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_what_a_rule_does_not_claim(rule):
    """A law that nobody claims is no law: the list of exceptions is short."""
    silent = {law.says for law in AGGREGATOR_LAWS if not law.claimed(rule)}
    expected = set()
    if rule.min_rows == 1:
        expected.add("too few rows raise a ValueError")
    if rule == Mean():
        expected.add("n_byzantine far rows move it no further than kappa says")
    assert silent == expected
