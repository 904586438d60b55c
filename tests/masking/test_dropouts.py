"""Whoever vanishes wherever: the exact sum of the survivors, or a typed abort."""

from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masking.rounds_that_lose import (
    EXACT,
    EXCHANGES,
    MASKED,
    EveryPattern,
    require_exact,
    summed,
)
from privfl import Pipeline, ProtocolAbort
from privfl.defenses.masking import SecAgg
from rounds_for_tests import whole_numbers

LINE = Pipeline(*EXACT, SecAgg())
SPARSE = Pipeline(*EXACT, SecAgg(neighbors=6, threshold=5, corrupt=0.0, dropout=0.0))
ANYWHERE = list(range(EXCHANGES + 1))


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_every_pattern_of_a_small_cohort(n):
    seen = EveryPattern(LINE, n)
    stay = range(SecAgg().min_survivors(n), n + 1)
    assert seen.released == sum(comb(n, k) * EXCHANGES ** (n - k) for k in stay)
    assert seen.released + seen.aborted == (EXCHANGES + 1) ** n


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([*ANYWHERE, *[EXCHANGES] * 8]), min_size=6, max_size=50))
def test_larger_cohorts(pattern):
    n, updates = len(pattern), whole_numbers(len(pattern), 3)
    stay = sum(k >= EXCHANGES for k in pattern)
    if stay < SecAgg().min_survivors(n):
        with pytest.raises(ProtocolAbort):
            summed(LINE, updates, dict(enumerate(pattern)))
        return
    release = summed(LINE, updates, dict(enumerate(pattern)))
    require_exact(release, updates, [who for who, k in enumerate(pattern) if k > MASKED])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([*ANYWHERE, *[EXCHANGES] * 12]), min_size=9, max_size=40))
def test_a_sparse_graph_may_lose_a_secret_and_then_releases_nothing(pattern):
    updates = whole_numbers(len(pattern), 3)
    try:
        release = summed(SPARSE, updates, dict(enumerate(pattern)))
    except ProtocolAbort:
        assert min(pattern) < EXCHANGES
        return
    require_exact(release, updates, [who for who, k in enumerate(pattern) if k > MASKED])
