"""Thresholds, graphs and quorums are as small as they may be and no smaller."""

import itertools
import math
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from oracles.hypergeometric import log2_of, tail
from oracles.ring_cuts import cut_out, near, opened_alone
from privfl.defenses.masking._hypergeometric import log2_tail
from privfl.defenses.masking._risk import exposed, fails, separated
from privfl.defenses.masking._threat_model import Safety, safety, smallest_graph
from privfl.parts._mates import mates_corrupt

# (corrupt, dropped) in percent, and the (k, t) of a semi-honest server: 2^-40 and 2^-30
FRACTIONS = [(5, 5), (10, 10), (20, 10), (33, 10)]
SEMI_HONEST = {
    100: [(12, 6), (22, 11), (32, 21), (42, 32)],
    1000: [(34, 18), (52, 28), (74, 45), (114, 78)],
    10_000: [(38, 21), (60, 32), (90, 54), (140, 95)],
    100_000: [(40, 22), (64, 34), (94, 57), (150, 101)],
}


def draws():
    """Parameters of a hypergeometric tail."""
    sizes = st.integers(1, 400)
    return sizes.flatmap(
        lambda n: st.tuples(st.just(n), *[st.integers(0, n)] * 2, st.integers(-2, n + 2))
    )


@given(draws())
def test_a_tail_is_that_of_exact_fractions(numbers):
    assert log2_tail(*numbers) == pytest.approx(log2_of(tail(*numbers)), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("population", [400, 999, 99_999])
def test_a_tail_is_scipys(population):
    for share, drawn, part in itertools.product((0.05, 0.2, 0.5), (10, 40), (0.1, 0.4, 0.8)):
        marked, least = int(share * population), int(part * drawn)
        chance = hypergeom(population, marked, drawn).sf(least - 1)
        expected = math.log2(chance) if chance else -math.inf
        assert log2_tail(population, marked, drawn, least) == pytest.approx(expected, abs=1e-6)


def test_a_tail_too_small_for_a_float_has_a_logarithm():
    found = log2_tail(10_000, 1_000, 900, 890)
    assert found == pytest.approx(log2_of(tail(10_000, 1_000, 900, 890)), rel=1e-12)
    assert found < -1100


@pytest.mark.parametrize(("size", "bits"), [(5, -13), (8, -23), (16, -51)])
def test_all_mates_of_an_honest_member_are_corrupt_as_rarely_as_computed(size, bits):
    chance = mates_corrupt(1000, size, 100, size - 1)
    assert chance == pytest.approx(float(tail(999, 100, size - 1, size - 1)), rel=1e-9)
    assert math.trunc(math.log2(chance)) == bits


def test_groups_of_five_expose_86_client_rounds_in_a_thousand():
    assert 900 * 1000 * mates_corrupt(1000, 5, 100, 4) == pytest.approx(86, abs=0.5)
    assert mates_corrupt(1000, 5, 3, 4) == 0


@pytest.mark.parametrize(("n", "pairs"), SEMI_HONEST.items())
def test_against_a_semi_honest_server_the_graph_is_the_tables(n, pairs):
    for (bad, gone), pair in zip(FRACTIONS, pairs, strict=True):
        assert smallest_graph(n, bad * n // 100, gone * n // 100, 40, exposed) == pair


@pytest.mark.parametrize(("bad", "gone"), [(10, 10), (33, 5), (0, 20), (20, 0)])
def test_the_graph_is_the_smallest_by_exact_fractions(bad, gone):
    n = 150
    found = smallest_graph(n, bad, gone, 40, exposed)
    fit = (
        (k, t)
        for k in range(2, n - 1, 2)
        for t in range(2, k + 1)
        if n * tail(n - 1, bad, k, t) * 2**40 <= 1
        and n * tail(n - 1, gone, k, k - t + 1) * 2**30 <= 1
    )
    assert found == next(fit)


@pytest.mark.parametrize("n", [101, 1000, 10_000])
def test_the_bounds_of_a_round_are_those_of_exact_fractions(n):
    found = safety(n)
    k, t, c, d = found.neighbors, found.threshold, found.corrupt, found.dropped
    one = n * tail(n - 1, c, k, t)
    two = (n * tail(n - 2, c, k // 2, t - 1 - k // 2)) ** 2
    assert found.exposed == pytest.approx(log2_of(one + two), rel=1e-9)
    assert found.fails == pytest.approx(log2_of(n * tail(n - 1, d, k, k - t + 1)), rel=1e-9)
    assert found.exposed <= -80
    assert found.fails <= -30


# what a quorum and a threshold are for


@pytest.mark.parametrize("n", [2, 3, 4, 5, 10, 30, 99, 100, 101, 500])
@pytest.mark.parametrize("corrupt", [0, 0.1, 0.2, 0.33])
def test_two_survivor_sets_never_both_have_a_quorum(n, corrupt):
    try:
        found = safety(n, corrupt=corrupt, dropout=0.1)
    except ValueError:
        assert n - int(n * corrupt) < 2  # else there is one
        return
    honest = n - found.corrupt
    # each honest client signs one set, each corrupt client both
    assert 2 * (found.quorum - found.corrupt) > honest
    # and one fewer would not do
    assert 2 * (found.quorum - 1 - found.corrupt) <= honest
    assert found.anonymity == found.min_survivors - found.corrupt >= 2


@pytest.mark.parametrize("n", [2, 3, 10, 30, 100])
def test_up_to_a_hundred_clients_the_graph_is_complete_and_no_threshold_lower_is_taken(n):
    found = safety(n)
    assert found.complete
    assert found.neighbors == n - 1
    assert found.threshold == found.quorum == found.min_survivors
    # honest holders in two halves, told different things, and the corrupt ones in both
    assert 2 * found.threshold > n + found.corrupt >= 2 * (found.threshold - 1)
    if found.threshold > 2:
        with pytest.raises(ValueError, match=rf"threshold must be {found.threshold} to "):
            safety(n, threshold=found.threshold - 1)
    assert safety(n, threshold=n - found.dropped).quorum == n - found.dropped


def test_a_fraction_of_clients_is_the_number_that_is_meant():
    assert safety(30, corrupt=0.1).corrupt == 3
    assert safety(100, corrupt=0.29).corrupt == 29
    assert safety(1000, corrupt=0.057, dropout=0.07).dropped == 70
    assert safety(9, corrupt=0.1).corrupt == 0


def test_above_a_hundred_clients_the_graph_is_sparse_and_a_quorum_of_all_must_stay():
    found = safety(1000)
    assert (found.neighbors, found.threshold) == (152, 110)
    assert not found.complete
    assert found.quorum == found.min_survivors == 551
    assert found.anonymity == 451


def test_either_number_alone_brings_the_other():
    whole = safety(1000)
    assert safety(1000, neighbors=whole.neighbors) == whole
    assert safety(1000, threshold=whole.threshold) == whole
    # the most that dropouts leave, where the margin asks for more
    narrow = safety(1000, neighbors=126)
    assert narrow.threshold == 88
    assert -80 < narrow.exposed <= -40
    assert fails(1000, 126, 89, 100) > -30
    assert safety(50, neighbors=49) == safety(50, neighbors=80) == safety(50)
    assert safety(50, neighbors=24, dropout=0.0, corrupt=0.0).complete is False


def test_where_no_sparse_graph_is_safe_it_is_complete():
    assert smallest_graph(104, 50, 20, 80) is None
    assert safety(104, corrupt=0.485, dropout=0.2).complete
    assert safety(1000, threshold=900).complete


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ({"n": 1}, "n must be a whole number of at least 2. Found 1"),
        ({"n": 10, "corrupt": 1.0}, "corrupt must be at least 0 and below 1. Found 1.0"),
        ({"n": 10, "corrupt": -0.1}, "corrupt must be at least 0"),
        ({"n": 10, "dropout": math.nan}, "dropout must be at least 0 and below 1. Found nan"),
        ({"n": 10, "threshold": 1}, "threshold must be a whole number of at least 2"),
        ({"n": 10, "neighbors": 1}, "neighbors must be a whole number of at least 2"),
        ({"n": 30, "threshold": 16}, "threshold must be 17 to 27.*Found 16"),
        ({"n": 30, "threshold": 28}, "threshold must be 17 to 27.*Found 28"),
        ({"n": 30, "dropout": 0.5}, "dropout must leave at least 17 of 30.*at most 13 clients"),
        ({"n": 3, "corrupt": 0.7}, "At least two honest updates .*Lower corrupt, or add clients"),
        ({"n": 200, "neighbors": 71}, "neighbors must be an even number. Found 71"),
        ({"n": 1000, "neighbors": 52, "threshold": 28}, "at least 126, with threshold 88"),
        ({"n": 1000, "neighbors": 124}, "neighbors must be at least 126, with threshold 88"),
        ({"n": 1000, "neighbors": 152, "threshold": 99}, "threshold must be 10. to 110"),
        ({"n": 1000, "neighbors": 152, "threshold": 111}, "threshold must be 10. to 110"),
        ({"n": 1000, "threshold": 60}, "at least 126, with threshold 88"),
    ],
)
def test_what_is_not_safe_is_refused_with_what_would_be(numbers, text):
    with pytest.raises(ValueError, match=text):
        safety(**numbers)


@given(
    st.integers(2, 300),
    st.none() | st.integers(2, 300),
    st.none() | st.integers(2, 300),
    st.floats(0, 0.6),
    st.floats(0, 0.6),
)
def test_whatever_is_accepted_is_safe(n, threshold, neighbors, corrupt, dropout):
    try:
        found = safety(
            n, threshold=threshold, neighbors=neighbors, corrupt=corrupt, dropout=dropout
        )
    except ValueError:
        return
    assert isinstance(found, Safety)
    assert 2 * found.quorum > n + found.corrupt
    assert found.exposed <= -40
    assert found.fails <= -30
    assert found.anonymity >= 2
    assert found.min_survivors <= n - found.dropped
    if found.complete:
        assert 2 * found.threshold > n + found.corrupt


# attacks: what lies below the bounds is open


def rings(n, corrupt, times, seed=0):
    """Where the corrupt clients lie on a ring that nobody chose."""
    rng = random.Random(seed)
    return [set(rng.sample(range(n), corrupt)) for _ in range(times)]


def test_a_weak_threshold_is_exposed_about_as_often_as_bounded():
    n, k, t, corrupt = 200, 20, 8, 20
    times = 2000
    hit = sum(
        any(len(bad.intersection(near(p, n, k // 2))) >= t for p in set(range(n)) - bad)
        for bad in rings(n, corrupt, times)
    )
    bound = 2 ** exposed(n, k, t, corrupt)
    assert 0.1 * bound < hit / times < bound  # neighbours on a ring share their neighbours


def test_a_server_that_picks_the_dropouts_sums_a_few_alone_on_a_graph_that_only_exposes_nobody():
    n, k, t, corrupt = 1000, 70, 42, 100
    assert exposed(n, k, t, corrupt) < -80
    assert separated(n, k, t, corrupt) == 0
    for bad in rings(n, corrupt, 3):
        found, gone = cut_out(n, k, t, bad, range(28, 80))
        assert any(piece == found for piece in opened_alone(n, k, t, bad, gone))
        assert len(found) < 80  # where 451 were promised
        assert n - len(gone) >= 551  # and a quorum signs that these stayed


def test_the_default_graph_leaves_that_server_no_cut():
    found = safety(1000)
    half, needed = found.neighbors // 2, found.threshold - 1 - found.neighbors // 2
    for bad in rings(1000, found.corrupt, 20):
        stretches = [sum((p + i) % 1000 in bad for i in range(half)) for p in range(1000)]
        assert max(stretches) < needed


def heavy_stretches_apart(n, half, needed, bad):
    """Whether two disjoint stretches of ``half`` places hold ``needed`` corrupt clients each."""
    heavy = [p for p in range(n) if sum((p + i) % n in bad for i in range(half)) >= needed]
    return any(half <= q - p <= n - half for p, q in itertools.combinations(heavy, 2))


def test_a_cut_takes_two_heavy_stretches():
    n, k, t, corrupt = 300, 30, 20, 30
    cuts = 0
    for bad in rings(n, corrupt, 15):
        if cut_out(n, k, t, bad, range(8, 2 * k, 3)):
            cuts += 1
            assert heavy_stretches_apart(n, k // 2, t - 1 - k // 2, bad)
    assert cuts > 2


def test_two_heavy_stretches_are_as_rare_as_bounded():
    n, half, corrupt, times = 60, 10, 12, 4000
    for needed in (6, 7):
        bound = 2 ** separated(n, 2 * half, needed + 1 + half, corrupt)
        found = sum(heavy_stretches_apart(n, half, needed, bad) for bad in rings(n, corrupt, times))
        assert found / times <= bound < 1


@pytest.mark.parametrize(("threshold", "corrupt"), [(4, 1), (5, 1), (4, 2), (5, 2), (3, 0), (4, 0)])
def test_no_dropouts_split_a_small_ring_but_where_the_bound_says_so(threshold, corrupt):
    """Every placement (turned so that one lies at 0) and every set of dropouts."""
    n, k = 10, 4
    quorum = (n + corrupt) // 2 + 1
    split = False
    for others in itertools.combinations(range(1, n), max(corrupt - 1, 0)):
        bad = {0, *others} if corrupt else set()
        rest = sorted(set(range(n)) - bad)
        for size in range(n - quorum + 1):
            for gone in itertools.combinations(rest, size):
                split |= bool(opened_alone(n, k, threshold, bad, set(gone)))
    heavy = threshold - 1 - k // 2
    assert split == (2 * max(heavy, 0) <= corrupt)
    if split:
        assert separated(n, k, threshold, corrupt) > -math.inf


def test_the_search_is_quick():
    smallest_graph.cache_clear()
    start = time.perf_counter()
    smallest_graph(10_000, 3_300, 1_000, 80)
    assert time.perf_counter() - start < 0.2
