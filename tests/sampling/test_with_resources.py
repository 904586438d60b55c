from collections import Counter
from itertools import combinations

import pytest
import torch
from dp_accounting import (
    GaussianDpEvent,
    PoissonSampledDpEvent,
    SampledWithoutReplacementDpEvent,
)

from privfl.core import Charge, Relation, Unit, Vantage
from privfl.crypto import Stream
from privfl.sampling import (
    Device,
    Everybody,
    FixedSize,
    Poisson,
    PowerOfChoice,
    Shuffled,
    WithResources,
    amplified,
)

STEP = GaussianDpEvent(1.0)
# units 1, 3, 4, 6 and 7 run two steps a second and have some charge
DEVICES = tuple(
    Device(speed=speed, battery=battery)
    for speed, battery in [
        (1, 1.0), (2, 0.5), (9, 0.2), (2, 1.0), (3, 0.9), (1.99, 1.0), (2, 0.3), (8, 0.3),
    ]
)  # fmt: skip
FIT = (1, 3, 4, 6, 7)


def fit_for(then):
    return WithResources(DEVICES, then, speed=2.0, battery=0.3)


def test_only_those_who_meet_every_threshold_are_fit():
    assert fit_for(Everybody()).fit == FIT
    assert WithResources(DEVICES).fit == tuple(range(8))


@pytest.mark.parametrize("name", ["speed", "bandwidth", "battery", "memory"])
def test_each_threshold_is_met_by_so_much_or_more(name):
    devices = [Device(**{name: value}) for value in (0.4, 0.5, 0.6)]
    assert WithResources(devices, **{name: 0.5}).fit == (1, 2)


def test_every_set_of_fit_units_is_equally_likely():
    """Ten pairs of 5 in 5,000 draws: a chi-square of 9 degrees stays below 46 (1e-6)."""
    draws = fit_for(FixedSize(2)).draws(8, 5000, Stream.replay(1))
    seen = Counter(tuple(rows.tolist()) for rows in draws)
    assert set(seen) == set(combinations(FIT, 2))
    assert sum((count - 500) ** 2 / 500 for count in seen.values()) < 46


def test_it_draws_what_then_draws_among_so_many():
    for then in (Everybody(), FixedSize(3), Poisson(rate=0.4), Shuffled(2)):
        found = fit_for(then).draws(8, 6, Stream.replay(0))
        for rows, among in zip(found, then.draws(5, 6, Stream.replay(0)), strict=True):
            assert rows.tolist() == [FIT[k] for k in among.tolist()]
            assert rows.dtype == torch.int64


def test_sizes_and_passes_are_those_of_the_fit_ones():
    for then, size, steps in [
        (Everybody(), 5, 1),
        (FixedSize(2), 2, 2),
        (Poisson(rate=0.4), 2, 2),
        (Shuffled(2), 2, 3),
    ]:
        sampling = fit_for(then)
        assert (sampling.expected(8), sampling.steps_of(8)) == (size, steps)
        assert sampling.size_varies == then.size_varies
        assert sampling.independent == then.independent
        assert not sampling.hides_n
        assert not sampling.by_loss


def test_it_is_worth_a_draw_out_of_the_fit_ones_and_no_more():
    """Out of all eight units it would be worth more than it is."""
    fixed, poisson = fit_for(FixedSize(2)), fit_for(Poisson(size=2))
    drawn = SampledWithoutReplacementDpEvent(5, 2, STEP)
    assert fixed.accounted(STEP, 8, 7, "replace-one") == (drawn, 7)
    assert fixed.accounted(STEP, 8, 7, "zero-out") == (STEP, 7)
    for relation in (Relation.ZERO_OUT, Relation.REPLACE_ONE):
        coin = PoissonSampledDpEvent(0.4, STEP)
        assert poisson.accounted(STEP, 8, 7, relation) == (coin, 7)
        assert poisson.amplifies(relation)
        assert fixed.amplifies(relation) == (relation is Relation.REPLACE_ONE)
        assert not fit_for(Everybody()).amplifies(relation)
    assert fit_for(Shuffled(2)).accounted(STEP, 8, 4, "zero-out") == (STEP, 2)


def test_a_round_charges_the_draw_out_of_the_fit_ones():
    charge = Charge(STEP, Unit.CLIENT, Vantage.OUTSIDER, Relation.ZERO_OUT)
    (found,) = amplified([charge], fit_for(Poisson(size=2)), 8, member=True)
    assert found.event == PoissonSampledDpEvent(0.4, STEP)


def test_a_private_number_of_units_has_no_declared_devices():
    for then in (Poisson(size=2, rate=0.4), Everybody()):
        with pytest.raises(ValueError, match="make the number of units public"):
            fit_for(then).accounted(STEP, 8, 1, "add/remove")


def test_thresholds_that_nobody_meets_are_refused_at_once():
    with pytest.raises(ValueError, match=r"offer speed=99.* Found none of 8. Lower a threshold"):
        WithResources(DEVICES, FixedSize(1), speed=99.0)
    with pytest.raises(ValueError, match="Found none of 0"):
        WithResources(())


def test_another_number_of_units_is_refused():
    with pytest.raises(ValueError, match=r"one for each of 9 units. Found 8"):
        list(fit_for(Everybody()).draws(9, 1, Stream()))
    with pytest.raises(ValueError, match=r"one for each of 9 units. Found 8"):
        fit_for(Everybody()).accounted(STEP, 9, 1, "zero-out")


def test_more_than_are_fit_cannot_be_drawn():
    with pytest.raises(ValueError, match=r"at most the number of units, 5. Found 6"):
        list(fit_for(FixedSize(6)).draws(8, 1, Stream()))


def test_it_hands_no_losses_on():
    with pytest.raises(ValueError, match="then must not choose by loss"):
        fit_for(PowerOfChoice(candidates=3, size=2))
