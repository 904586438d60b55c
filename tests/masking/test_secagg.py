"""Secure aggregation gives the exact sum of the survivors, or a typed abort, and nothing else."""

import math

import pytest
import torch

from parts_for_tests import PowerSGD, TopK
from privfl import CompositionError, Pipeline, PlanError
from privfl.compression import Quantize
from privfl.core import Cohort, Scalar
from privfl.defenses.dp import AdaptiveClip, CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import NNM, Krum, TrimmedMean
from privfl.parts import Grouped, Mean, Plain, Weigh

SPARSE = SecAgg(neighbors=6, threshold=5, corrupt=0.0, dropout=0.0)


# the sum


@pytest.mark.parametrize("bits", [6, 12, 16, 20])
def test_real_numbers_come_back_within_one_step_a_client(bits):
    updates = torch.nn.functional.normalize(torch.randn(7, 50), dim=1)
    shield = Pipeline(Clip(1.0), Quantize(bits), SecAgg())
    release, plain = shield.aggregate(updates), Pipeline(Clip(1.0)).aggregate(updates)
    step = shield.plan(n_clients=7, dim=50).step
    assert (release.update - plain.update).abs().max() < step
    assert release.update.dtype == updates.dtype


def test_a_seeded_round_repeats_to_the_bit_though_its_masks_do_not():
    shield, updates = Pipeline(Clip(1.0), SecAgg()), torch.randn(5, 20)
    runs = [
        shield.aggregate(updates, generator=3, nonce=bytes(16), transcript=True) for _ in range(2)
    ]
    assert torch.equal(runs[0].update, runs[1].update)
    first, second = ([post.letter for post in run.transcript.posted] for run in runs)
    assert first[5:] != second[5:]


@pytest.mark.parametrize("n", [3, 10, 41])
def test_the_sum_reaches_both_ends_of_the_ring_and_does_not_wrap(n):
    updates = torch.zeros(n, 2)
    updates[:, 0], updates[:, 1] = 1.0, 0.0
    for sign in (1, -1):
        release = Pipeline(Clip(1.0), SecAgg()).aggregate(sign * updates)
        assert torch.allclose(release.update, sign * updates[0], atol=1e-4)


def test_scalars_and_counts_ride_in_the_tail():
    shield = Pipeline(Weigh(100), Clip(10.0), SecAgg())
    updates, counts = torch.randn(4, 6), torch.tensor([10.0, 20.0, 30.0, 40.0])
    loss = Scalar("loss", 5.0)
    release = shield.aggregate(
        updates, n_examples=counts, scalars={loss: [1.0, 2.0, 3.0, 4.0]}, drop={2: "share"}
    )
    left = torch.tensor([True, True, False, True])
    expected = (counts[left, None] * updates[left]).sum(dim=0) / counts[left].sum()
    assert torch.allclose(release.update, expected, atol=0.05)
    assert release.scalars["loss"] == pytest.approx((1 + 2 + 4) / 3, abs=1e-2)


def test_an_adaptive_clip_and_two_passes_run_under_masks():
    shield = Pipeline(AdaptiveClip(0.1), SecAgg())
    release = shield.aggregate(torch.randn(6, 10))
    assert release.state["public"]
    two = Pipeline(PowerSGD(2, 8), Clip(1000.0), Quantize(24), SecAgg())
    drawn = torch.Generator().manual_seed(0)  # well-conditioned: rounding is not blown up
    updates = torch.randn(5, 8, 2, generator=drawn) @ torch.randn(2, 6, generator=drawn)
    both = [p.aggregate(updates.flatten(1)).update for p in (two, Pipeline(PowerSGD(2, 8)))]
    assert torch.allclose(*both, atol=0.02)


def test_public_weights_and_names_are_those_of_the_cohort():
    cohort = Cohort(("b", "a", 7), (1.0, 0.5, 0.25))
    updates = torch.eye(3)
    release = Pipeline(Clip(1.0), SecAgg()).aggregate(updates, cohort=cohort)
    assert torch.allclose(release.update, torch.tensor([1.0, 0.5, 0.25]) / 1.75, atol=1e-3)


# numbers


@pytest.mark.parametrize(("n", "bits"), [(2, 17), (10, 20), (100, 23), (1000, 26), (1024, 26)])
def test_the_ring_is_the_smallest_that_holds_every_honest_sum(n, bits):
    plan = Pipeline(Clip(1.0), SecAgg()).plan(n_clients=n, dim=4)
    assert plan.ring_bits == bits
    assert 2 ** (bits - 1) > n * plan.levels >= 2 ** (bits - 2)
    assert plan.wrap_probability == 0


def test_noise_widens_the_ring_and_its_tails_are_stated():
    plain = Pipeline(Clip(1.0), SecAgg()).plan(n_clients=10, dim=1000)
    noised = Pipeline(Clip(1.0), LocalGaussianNoise(1.0), SecAgg()).plan(n_clients=10, dim=1000)
    assert noised.ring_bits > plain.ring_bits
    assert noised.wrap_probability == pytest.approx(1000 * math.erfc(9 / math.sqrt(2)))


def test_a_million_parameters_of_a_thousand_clients_take_26_bits_each():
    plan = Pipeline(Clip(1.0), SecAgg()).plan(n_clients=1000, dim=1_000_000)
    keys = plan.bytes_up - 26 * 1_000_000 / 8
    assert 0 < keys < 0.01 * plan.bytes_up


BYTES = [
    (Pipeline(Clip(1.0), SecAgg()), 3, 7),
    (Pipeline(Clip(1.0), SecAgg()), 20, 1_000_000),
    (Pipeline(Clip(1.0), SecAgg()), 100, 1_000),
    (Pipeline(Clip(1.0), SPARSE), 21, 50),
    (Pipeline(Clip(1.0), Grouped(SecAgg(), size=3), TrimmedMean(n_byzantine=0)), 10, 40),
    (Pipeline(Clip(1.0), Grouped(Plain(), size=3), TrimmedMean(n_byzantine=0)), 10, 40),
    (Pipeline(Weigh(9), Clip(1.0), SecAgg()), 5, 11),
    (Pipeline(Clip(1.0), Quantize(8)), 5, 11),
]


@pytest.mark.parametrize(("shield", "n", "d"), BYTES, ids=str)
def test_a_round_takes_the_bytes_that_its_plan_says(shield, n, d):
    counts = [1.0] * n if shield.scalars else None
    release = shield.aggregate(torch.full((n, d), 1e-3), n_examples=counts)
    plan = shield.plan(n_clients=n, dim=d)
    assert (release.bytes_up, release.bytes_down) == (plan.bytes_up, plan.bytes_down)


def test_the_stages_are_named_in_order():
    assert SecAgg.stages == ("advertise", "share", "mask", "unmask")
    assert repr(SecAgg()) == "SecAgg()"
    assert repr(SecAgg(threshold=7, corrupt=0.2)) == "SecAgg(threshold=7, corrupt=0.2)"


@pytest.mark.parametrize("stage", SecAgg.stages)
def test_a_client_dropped_before_it_sent_its_vector_is_not_counted(stage):
    release = Pipeline(Clip(1.0), SecAgg()).aggregate(torch.ones(5, 2), drop={3: stage})
    assert (3 in release.survivors) == (stage == "unmask")


# groups


def test_group_sums_go_to_a_rule_and_an_attacker_spoils_one():
    shield = Pipeline(
        Clip(1.0),
        Grouped(SecAgg(), size=5),
        NNM(TrimmedMean(n_byzantine=2)),
    )
    updates = torch.full((30, 4), 0.1)
    updates[3] = 0.5
    release = shield.aggregate(updates, drop={7: "mask", 11: "share"})
    assert len(release.survivors) == 28
    assert release.opened.sums.shape == (6, 4)
    assert torch.allclose(release.update, torch.full((4,), 0.1), atol=1e-4)


def test_the_ring_of_a_group_holds_the_largest_that_is_drawn():
    shield = Pipeline(Clip(1.0), Grouped(SecAgg(), size=5), Mean())
    updates = torch.zeros(9, 2)
    updates[:, 0] = 1.0  # one group of nine
    assert torch.allclose(shield.aggregate(updates).update, updates[0], atol=1e-4)


def test_a_group_below_its_fewest_survivors_is_withheld_whole():
    shield = Pipeline(Clip(1.0), Grouped(SecAgg(threshold=5), size=5), Mean())
    release = shield.aggregate(torch.ones(20, 2), drop={0: "mask"})
    assert len(release.survivors) == 15
    assert len(release.rejected) == 5
    assert all("withheld whole" in why for why in release.rejected.values())


def test_explain_says_what_groups_buy_and_cost():
    shield = Pipeline(Clip(1.0), Grouped(SecAgg(), size=5), NNM(TrimmedMean(n_byzantine=2)))
    said = str(shield.explain(n_clients=1000, dim=10))
    assert (
        "All 4 mates of a client are corrupt with a chance of 2^-13 a round (100 of 1000)" in said
    )
    assert "200 groups bear 99 attackers" in said
    assert "holds at least 3 updates, 3 of honest clients" in said
    assert "more of them than its sum bears (0) with a chance of 0.34 a round" in said


# refusals


REFUSED = [
    ((SecAgg(),), "R6", "Put Clip"),
    ((Weigh(5), SecAgg()), "R6", "Put Clip"),
    ((LocalGaussianNoise(1.0), SecAgg()), "R5", "Put Clip"),
    ((TopK(1), Clip(1.0), SecAgg()), "R32", "RandomK"),
    ((Clip(1.0), SecAgg(), Krum(n_byzantine=1)), "R8", "Grouped"),
    ((Clip(1.0), SecAgg(), TrimmedMean(n_byzantine=1)), "R8", "Grouped"),
    ((Clip(1.0), SecAgg(), Mean(), CentralGaussianNoise(1.0)), "R31", "exact_sum_to_server"),
    ((Clip(1.0), Quantize(8), Quantize(8)), "R4", "once"),
    ((Quantize(8),), "R32", "Put Clip"),
    ((Clip(1.0), Quantize(8), Clip(1.0), SecAgg()), "R4", "before it"),
]


@pytest.mark.parametrize(("parts", "rule", "fix"), REFUSED, ids=str)
def test_this_is_refused(parts, rule, fix):
    with pytest.raises(CompositionError) as refused:
        Pipeline(*parts)
    assert refused.value.rule == rule
    assert fix in refused.value.fix


@pytest.mark.parametrize(
    ("protocol", "n"),
    [
        (SecAgg(threshold=5), 10),
        (SecAgg(), 1),
        (SecAgg(neighbors=10, threshold=6), 1000),
        (SecAgg(corrupt=0.9), 10),
        (Grouped(SecAgg(threshold=3), size=5), 17),
    ],
    ids=str,
)
def test_numbers_that_are_not_safe_are_refused_with_those_that_are(protocol, n):
    shield = Pipeline(Clip(1.0), protocol)
    with pytest.raises(PlanError, match=r"not safe for \d+ clients"):
        shield.plan(n_clients=n, dim=4)
