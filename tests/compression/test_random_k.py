"""Coordinates that everybody draws alike: right on average, and bounded in what is undone."""

import itertools
import math
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from privfl import CompositionError, Pipeline, PlanError
from privfl.compression import Quantize, RandomK, Rotate
from privfl.core import Cohort, Relation, Rows
from privfl.crypto import Stream
from privfl.defenses.dp import AdaptiveClip, CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.he import BFV, CKKS
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import NNM, Krum, TrimmedMean
from privfl.parts import Grouped, Mean, Plain, Weigh
from privfl.rounds import Opening, Setting
from privfl.testing import check_wrapper

FAR = Clip(1e6)  # longer than any update here


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def drawing(support, dim):
    """A place where the shared randomness draws ``support`` first."""
    order = torch.tensor([*support, *(j for j in range(dim) if j not in support)])
    return SimpleNamespace(
        plan=SimpleNamespace(body=dim),
        shared=lambda label: SimpleNamespace(permutation=lambda n: order),
    )


def undone(x, k, support):
    """What the opener makes of one update under a support: (d,) -> (d,)."""
    at = drawing(support, len(x))
    made = RandomK(k).apply(x, at)
    assert made.tolist() == x[sorted(support)].tolist()
    return RandomK(k).undo(Rows(made[None], ((0,),)), at).sums[0]


def support_of(release):
    return release.update.nonzero().flatten().tolist()


@pytest.mark.parametrize("part", [RandomK(1)], ids=repr)
def test_it_keeps_the_laws_of_a_wrapper(part):
    assert check_wrapper(part).passed


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.integers(-100, 100), min_size=1, max_size=6), st.data())
def test_over_all_supports_the_mean_is_the_update_and_the_error_is_the_published_one(x, data):
    k, x = data.draw(st.integers(1, len(x))), torch.tensor(x, dtype=torch.float64)
    made = [undone(x, k, support) for support in itertools.combinations(range(len(x)), k)]
    made = torch.stack(made)
    assert torch.allclose(made.mean(dim=0), x, rtol=1e-12, atol=1e-9)
    error = (made - x).square().sum(dim=1).mean()
    assert float(error) == pytest.approx((len(x) / k - 1) * float(x.square().sum()), rel=1e-9)


def test_every_support_is_drawn_equally_often():
    """3,000 rounds over 10 supports: chi-square of 9 degrees above 45 in 1 of a million runs.

    The nonces are fixed, so that it fails always or never.
    """
    line, part = Pipeline(FAR, RandomK(2)), RandomK(2)
    seen = Counter()
    for number in range(3000):
        nonce = number.to_bytes(16, "big")
        setting = Setting(line, Opening.fresh(line, 2, 5, nonce=nonce))
        x = part.apply(torch.arange(5.0), setting.at(1, Stream.replay(0)))
        seen[tuple(x.tolist())] += 1
    assert len(seen) == math.comb(5, 2)
    assert sum((n - 300) ** 2 / 300 for n in seen.values()) < 45


def test_a_release_holds_the_mean_d_over_k_fold_on_k_coordinates():
    updates = normal(4, 12) + 9
    release = Pipeline(FAR, RandomK(3)).aggregate(updates)
    support = support_of(release)
    assert len(support) == 3
    assert torch.allclose(release.update[support], 4 * updates.mean(dim=0)[support])


def test_what_travels_is_no_longer_than_what_came():
    """Rule R4: multiplied before the sum, it would pass the bound that its grid is made of."""
    setting = Setting(line := Pipeline(Clip(1.0), RandomK(2)), Opening.fresh(line, 3, 8))
    behind = setting.plans[2]
    assert (behind.body, behind.dim, behind.bound, behind.peak) == (2, 2, 1.0, 1.0)
    made = RandomK(2).apply(torch.full((8,), 8**-0.5), setting.at(1, Stream.replay(0)))
    assert float(made.norm()) == pytest.approx(0.5)


@pytest.mark.parametrize("rule", [Mean(), TrimmedMean(n_byzantine=1)], ids=repr)
@pytest.mark.parametrize("relation", [Relation.ZERO_OUT, Relation.REPLACE_ONE])
def test_the_planned_sensitivity_is_attained_by_one_client(rule, relation):
    """The worst client puts all it may on the support: noise for C / n would be d / k too small."""
    n, d, k = 5, 12, 3
    shield, nonce = Pipeline(Clip(1.0), RandomK(k), rule), bytes(16)
    support = support_of(shield.aggregate(torch.ones(n, d), nonce=nonce))
    updates = torch.zeros(n, d, dtype=torch.float64)
    updates[0, support[0]], updates[1, support[0]] = 1.0, -1.0  # so that nothing is trimmed away
    other = updates.clone()
    updates[2, support[0]] = 1.0
    other[2, support[0]] = -1.0 if relation is Relation.REPLACE_ONE else 0.0
    a, b = (shield.aggregate(u, nonce=nonce).update for u in (updates, other))
    moved = float((a - b).norm())
    plan = shield.plan(n_clients=n, dim=d)
    assert moved <= plan.sensitivity[relation] * (1 + 1e-9)
    if rule == Mean():
        assert moved == pytest.approx(plan.sensitivity[relation])


def test_central_noise_is_d_over_k_times_as_large():
    def std(*parts):
        shield = Pipeline(*parts, Mean(), CentralGaussianNoise(3.0))
        return shield.plan(n_clients=10, dim=20).release_std

    assert std(Clip(2.0)) == pytest.approx(0.6)
    assert std(Clip(2.0), RandomK(5)) == pytest.approx(4 * 0.6)
    assert std(Clip(2.0), RandomK(10), RandomK(5)) == pytest.approx(4 * 0.6)
    assert std(RandomK(5), Clip(2.0)) == pytest.approx(4 * 0.6)
    assert std(Clip(2.0), RandomK(5), Clip(1.0)) == pytest.approx(4 * 0.3)
    assert std(RandomK(5), Plain(), Clip(2.0)) == pytest.approx(0.6)
    assert std(Clip(2.0), RandomK(5), Plain(), Clip(2.0)) == pytest.approx(0.6)


def test_local_noise_is_made_for_what_is_sent_and_spread_by_what_is_undone():
    """100,000 coordinates, 1 in 4 drawn: within 2.5 % of the plan, five standard errors."""
    line = Pipeline(Clip(2.0), RandomK(25_000), LocalGaussianNoise(1.5))
    setting = Setting(line, Opening.fresh(line, 4, 100_000))
    assert setting.plans[3].row_std == 3.0
    release = line.aggregate(torch.zeros(4, 100_000), generator=Stream.replay(1))
    assert setting.plan.release_std == pytest.approx(3.0 / math.sqrt(4) * math.sqrt(4))
    assert float(release.update.std()) == pytest.approx(setting.plan.release_std, rel=0.025)


def test_a_protocol_that_is_not_exact_is_off_by_d_over_k_as_much():
    dense = Pipeline(Clip(1.0), CKKS()).plan(n_clients=4, dim=100).error
    sparse = Pipeline(Clip(1.0), RandomK(100), CKKS()).plan(n_clients=4, dim=400).error
    assert sparse == pytest.approx(4 * dense)


def test_a_server_s_looser_clip_does_not_hide_the_multiplication():
    """A weight of 3 comes back with the sum: three times the server's bound is no bound of it."""
    parts = (Clip(1.0), RandomK(3), Plain(), Clip(2.0))
    cohort = Cohort((0, 1), weights=(3.0, 1.0))
    line, nonce = Pipeline(*parts), bytes(16)
    updates = torch.zeros(2, 12, dtype=torch.float64)
    support = support_of(line.aggregate(updates + 1, cohort=cohort, nonce=nonce))
    updates[0, support[0]] = 1.0
    moved = float(line.aggregate(updates, cohort=cohort, nonce=nonce).update.norm())
    setting = Setting(line, Opening.fresh(line, cohort, 12))
    assert moved <= setting.plan.sensitivity[Relation.ZERO_OUT] * (1 + 1e-9)


@pytest.mark.parametrize(
    "parts",
    [
        (SecAgg(),),
        (Quantize(18), SecAgg()),
        (CKKS(),),
        (BFV(),),
        (Grouped(SecAgg(), size=3),),
        (Grouped(Plain(), size=2),),
        (Rotate(),),
    ],
    ids=repr,
)
def test_it_fits_where_only_sums_are_seen(parts):
    updates = normal(6, 8) / 3
    everything = Pipeline(Clip(9.0), RandomK(8), *parts).aggregate(updates).update
    assert torch.allclose(everything.float(), updates.mean(dim=0), rtol=0, atol=2e-2)
    release = Pipeline(Clip(9.0), RandomK(4), *parts).aggregate(updates + 1)
    support = (release.update.abs() > 0.5).nonzero().flatten().tolist()
    if Rotate() not in parts:
        wanted = 2 * (updates + 1).mean(dim=0)[support]
        assert len(support) == 4
        assert torch.allclose(release.update[support].float(), wanted, rtol=0, atol=4e-2)


@pytest.mark.parametrize("rule", [Krum(n_byzantine=1), NNM(TrimmedMean(n_byzantine=1))], ids=repr)
def test_a_robust_rule_compares_rows_of_the_same_coordinates(rule):
    updates, nonce = normal(6, 8), bytes(16)
    release = Pipeline(FAR, RandomK(4), rule).aggregate(updates, nonce=nonce)
    support = support_of(release)
    drawn = torch.zeros_like(updates)
    drawn[:, support] = 2 * updates[:, support]
    assert torch.allclose(release.update, rule(drawn), rtol=1e-5)


@pytest.mark.parametrize("k", [2, 4])
def test_owners_are_counted_by_coordinate_whether_it_was_drawn_or_not(k):
    owners = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]]).bool()
    updates = normal(3, 4) + 5
    cohort = Cohort((0, 1, 2), weights=(1.0, 2.0, 1.0), owners=owners)
    release = Pipeline(FAR, RandomK(k)).aggregate(updates, cohort=cohort)
    weight = owners * torch.tensor([[1.0], [2.0], [1.0]])
    mean = (updates * weight).sum(dim=0) / weight.sum(dim=0)
    support = support_of(release)
    assert len(support) == k
    assert torch.allclose(release.update[support], 4 / k * mean[support])
    assert release.denominator.tolist() == weight.sum(dim=0).tolist()


def test_counts_and_scalars_ride_along_untouched():
    updates, counts = normal(3, 8) + 5, [1.0, 2.0, 5.0]
    release = Pipeline(Weigh(5), Clip(50.0), RandomK(4), SecAgg()).aggregate(
        updates, n_examples=counts
    )
    support = (release.update.abs() > 1).nonzero().flatten().tolist()
    wanted = 2 * (torch.tensor(counts) @ updates / 8)[support]
    assert len(support) == 4
    assert torch.allclose(release.update[support].float(), wanted, rtol=0.02)


def test_behind_an_adaptive_clip_it_follows_the_norm():
    shield = Pipeline(AdaptiveClip(0.5), RandomK(2))
    assert shield.plan(n_clients=4, dim=8).clip_norm == pytest.approx(2.0)


def test_it_is_refused_behind_the_rounding_and_the_protocol():
    with pytest.raises(CompositionError, match="before the rounding") as error:
        Pipeline(Clip(1.0), Quantize(8), RandomK(2))
    assert (error.value.rule, error.value.parts) == ("R4", (Quantize(8), RandomK(2)))
    with pytest.raises(CompositionError, match="behind the protocol nobody undoes it") as error:
        Pipeline(Clip(1.0), Plain(), RandomK(2))
    assert error.value.rule == "R33"


def test_more_coordinates_than_there_are_is_refused_by_the_plan():
    shield = Pipeline(Clip(1.0), RandomK(7))
    assert shield.plan(n_clients=3, dim=7).body == 7
    with pytest.raises(PlanError, match="draws 7 coordinates out of 6") as error:
        shield.plan(n_clients=3, dim=6)
    assert error.value.rule == "R32"


@pytest.mark.parametrize("k", [0, -1, 0.1, True])
def test_a_share_of_the_coordinates_is_no_count(k):
    with pytest.raises(ValueError, match="k must be a whole number"):
        RandomK(k)


def test_its_letters_are_d_over_k_times_as_short():
    bytes_up = [
        Pipeline(Clip(1.0), *parts).plan(n_clients=10, dim=100_000).bytes_up
        for parts in ((), (RandomK(1000),))
    ]
    assert bytes_up[0] > 90 * bytes_up[1]
