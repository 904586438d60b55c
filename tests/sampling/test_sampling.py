import math
from collections import Counter
from itertools import chain

import pytest
import torch
from dp_accounting import (
    GaussianDpEvent,
    PoissonSampledDpEvent,
    SampledWithoutReplacementDpEvent,
)

from privfl.accounting import epsilon_of
from privfl.core import Relation
from privfl.crypto import Stream
from privfl.sampling import Everybody, FixedSize, Poisson, Sampling, Shuffled

STEP = GaussianDpEvent(1.0)
ALL = [Everybody(), FixedSize(size=4), Poisson(size=4), Poisson(rate=0.25), Shuffled(size=4)]


def draws(sampling, n=16, steps=6, seed=0):
    return [rows.tolist() for rows in sampling.draws(n, steps, Stream.replay(seed))]


@pytest.mark.parametrize("sampling", ALL, ids=repr)
def test_a_draw_holds_different_units_in_order_of_size_or_pass(sampling):
    found = draws(sampling)
    assert len(found) == 6
    for rows in sampling.draws(16, 6, Stream.replay(0)):
        assert rows.dtype == torch.int64
        assert len(set(rows.tolist())) == len(rows)
        assert all(0 <= row < 16 for row in rows.tolist())
    assert found == draws(sampling)
    assert found != draws(sampling, seed=1) or sampling == Everybody()


@pytest.mark.parametrize(
    "sampling", [Poisson(size=3), Poisson(rate=0.2), Poisson(rate=1.0)], ids=repr
)
def test_poisson_coins_come_up_at_their_rate_alone_and_in_pairs(sampling):
    """2,000 steps of 15 coins: five standard errors, 105 pairs and 15 coins, 7e-5 at a seed."""
    steps, n, rate = 2000, 15, sampling.rate_of(15)
    flips = torch.zeros(steps, n)
    for step, rows in enumerate(sampling.draws(n, steps, Stream.replay(1))):
        flips[step, rows] = 1
    error = math.sqrt(rate * (1 - rate) / steps)
    assert float((flips.mean(0) - rate).abs().max()) <= 5 * error
    together = flips.T @ flips / steps
    pairs = together[~torch.eye(n, dtype=torch.bool)]
    error = math.sqrt(rate**2 * (1 - rate**2) / steps)
    assert float((pairs - rate**2).abs().max()) <= 5 * error
    follow = (flips[1:] * flips[:-1]).mean(0)
    assert float((follow - rate**2).abs().max()) <= 5 * error


def test_poisson_samples_may_be_empty():
    sizes = [len(rows) for rows in draws(Poisson(size=1), n=4, steps=60)]
    assert 0 in sizes
    assert len(set(sizes)) > 2


def test_fixed_size_samples_are_every_set_alike():
    """Ten sets of 3 of 5 in 5,000 draws: a chi-square of 9 degrees stays below 46 (1e-6)."""
    sampling, seen = FixedSize(size=3), Counter()
    for rows in draws(sampling, n=5, steps=5000):
        assert len(rows) == 3
        seen[tuple(rows)] += 1
    assert len(seen) == 10
    assert sum((count - 500) ** 2 / 500 for count in seen.values()) < 46


def test_shuffled_passes_hold_each_unit_once_and_in_a_fresh_order():
    found = draws(Shuffled(size=4), n=10, steps=6)
    assert [len(rows) for rows in found] == [4, 4, 2, 4, 4, 2]
    first, second = (list(chain(*batches)) for batches in (found[:3], found[3:]))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_sizes_that_do_not_fit_are_refused():
    for sampling in (FixedSize(size=5), Poisson(size=5)):
        with pytest.raises(ValueError, match="size must be at most the number of units, 4"):
            list(sampling.draws(4, 1, Stream()))
        with pytest.raises(ValueError, match="size must be at most the number of units, 4"):
            sampling.accounted(STEP, 4, 1, "replace-one")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Poisson(), "Poisson takes size= or rate="),
        (lambda: Poisson(size=0), "size must be positive"),
        (lambda: Poisson(size=math.nan), "size must be positive"),
        (lambda: Poisson(rate=0.0), r"rate must be in \(0, 1\]"),
        (lambda: Poisson(rate=1.1), r"rate must be in \(0, 1\]"),
        (lambda: Poisson(rate=math.nan), r"rate must be in \(0, 1\]"),
        (lambda: FixedSize(size=0), "size must be a whole number of at least 1"),
        (lambda: FixedSize(size=2.5), "size must be a whole number of at least 1"),
        (lambda: Shuffled(size=0), "size must be a whole number of at least 1"),
    ],
)
def test_samples_that_are_none_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_divisors_are_public_and_passes_follow_from_them():
    for sampling, size, steps in [
        (Everybody(), 100, 1),
        (FixedSize(size=30), 30, 3),
        (Poisson(size=30), 30, 3),
        (Poisson(rate=0.25), 25, 4),
        (Poisson(rate=0.25, size=20), 20, 5),
        (Shuffled(size=30), 30, 4),
    ]:
        assert sampling.expected(100) == size
        assert sampling.steps_of(100) == steps


def test_poisson_is_accounted_with_its_own_rate():
    for relation in Relation:
        event, count = Poisson(size=5).accounted(STEP, 50, 7, relation)
        assert (event, count) == (PoissonSampledDpEvent(0.1, STEP), 7)
        assert Poisson(size=5).amplifies(relation)
    assert not Poisson(rate=1.0).amplifies("zero-out")


def test_poisson_hides_n_where_nothing_follows_from_it():
    assert [s.hides_n for s in ALL] == 5 * [False]
    both = Poisson(size=4, rate=0.25)
    assert both.hides_n
    assert (both.rate_of(16), both.expected(16)) == (both.rate_of(17), both.expected(17))


def test_fixed_size_gains_where_a_theorem_says_so():
    sampling = FixedSize(size=5)
    gained = SampledWithoutReplacementDpEvent(50, 5, STEP)
    assert sampling.accounted(STEP, 50, 7, "replace-one") == (gained, 7)
    assert sampling.accounted(STEP, 50, 7, "zero-out") == (STEP, 7)
    assert not sampling.amplifies("zero-out")
    with pytest.raises(ValueError, match="needs a public number of units"):
        sampling.accounted(STEP, 50, 7, "add/remove")


def test_shuffled_is_accounted_a_pass_without_amplification():
    """What Poisson accounting of the same steps would print is several times less."""
    sampling = Shuffled(size=10)
    for steps, passes in ((1, 1), (10, 1), (11, 2), (30, 3)):
        assert sampling.accounted(STEP, 100, steps, "zero-out") == (STEP, passes)
        assert sampling.accounted(STEP, 100, steps, "replace-one") == (STEP, passes)
    assert not sampling.amplifies("zero-out")
    with pytest.raises(ValueError, match="need a public number of units"):
        sampling.accounted(STEP, 100, 1, "add/remove")
    wrong = epsilon_of(PoissonSampledDpEvent(0.001, STEP), 1e-5, count=1000).upper
    assert epsilon_of(STEP, 1e-5).upper > 20 * wrong


def test_a_pass_of_shuffled_batches_is_one_draw_and_other_steps_are_their_own():
    assert [s.independent for s in ALL] == [True, True, True, True, False]


def test_a_sampling_that_says_nothing_gains_nothing():
    assert Sampling().accounted(STEP, 10, 3, "zero-out") == (STEP, 3)
    assert not Sampling().amplifies("replace-one")
    assert not Sampling().hides_n
    with pytest.raises(NotImplementedError):
        Sampling().draws(10, 1, Stream())
    with pytest.raises(NotImplementedError):
        Sampling().expected(10)


def test_a_sampling_prints_what_was_written():
    for written in (
        "Poisson(size=4)",
        "Poisson(rate=0.25)",
        "Poisson(size=4, rate=0.25)",
        "FixedSize(size=3)",
        "Shuffled(size=3)",
        "Everybody()",
    ):
        assert repr(eval(written)) == written
