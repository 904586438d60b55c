"""Example counts weigh, and nobody is told them."""

import pytest
import torch

from oracles.weighted_mean import weighted_mean
from parts_for_tests import FixedPoint, MaskedSum, Shares
from privfl import CompositionError, Pipeline, PlanError, Vantage
from privfl.core import Cohort, decode
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.robust import TrimmedMean
from privfl.parts import Grouped, Mean, Plain, Weigh
from privfl.rounds._envelope import Envelope
from rounds_for_tests import whole_numbers

UPDATES, COUNTS = whole_numbers(5, 6), [100, 200, 50, 75, 25]
EXACT = FixedPoint(bits=40)


def close(update, expected):
    return torch.allclose(update, torch.tensor(expected, dtype=update.dtype), rtol=0, atol=1e-6)


@pytest.mark.parametrize("drop", [{}, {1: 0}, {0: 0, 4: -1}], ids=str)
@pytest.mark.parametrize(
    "parts",
    [
        (Weigh(200),),
        (Weigh(200), Clip(100.0)),
        (Clip(100.0), Weigh(200)),
        (Weigh(200), EXACT, MaskedSum(2)),
        (Clip(100.0), Weigh(200, share=0.5), EXACT, MaskedSum(2)),
    ],
    ids=str,
)
def test_the_release_is_the_weighted_mean_of_the_survivors(parts, drop):
    shield = Pipeline(*parts)
    drop = {who: shield.protocol.stages[stage] for who, stage in drop.items()}
    release = shield.aggregate(UPDATES, n_examples=COUNTS, drop=drop)
    there = list(release.survivors)
    assert close(release.update, weighted_mean(UPDATES.tolist(), COUNTS, there))
    mean_count = sum(COUNTS[k] for k in there) / len(there)
    assert release.scalars["n_examples"] == pytest.approx(mean_count, rel=1e-6)
    assert str(release) == f"{len(there)} of 5"


def test_groups_are_weighed_like_everybody():
    release = Pipeline(Weigh(200), EXACT, Grouped(MaskedSum(2), size=2)).aggregate(
        UPDATES, n_examples=COUNTS
    )
    assert close(release.update, weighted_mean(UPDATES.tolist(), COUNTS))


def test_a_clipped_update_is_weighed_after_its_clip():
    """The clip bounds what a client says; the count then says how much of it is heard."""
    updates = torch.tensor([[3.0, 4.0], [0.0, 0.5]])
    release = Pipeline(Clip(1.0), Weigh(10)).aggregate(updates, n_examples=[10, 5])
    assert close(release.update, weighted_mean([[0.6, 0.8], [0.0, 0.5]], [10, 5]))


def test_counts_above_the_cap_count_as_the_cap():
    release = Pipeline(Weigh(100)).aggregate(UPDATES[:2], n_examples=[1e9, 100])
    assert close(release.update, weighted_mean(UPDATES[:2].tolist(), [1, 1]))


def test_a_negative_count_counts_nothing():
    release = Pipeline(Weigh(100)).aggregate(UPDATES[:2], n_examples=[-100, 100])
    assert close(release.update, UPDATES[1].tolist())


def test_without_any_examples_the_update_is_zero():
    release = Pipeline(Weigh(100)).aggregate(UPDATES[:2], n_examples=[0, 0])
    assert release.update.tolist() == [0.0] * 6


def test_a_public_total_divides_whatever_survives():
    shield = Pipeline(Weigh(200, total=450))
    assert close(
        shield.aggregate(UPDATES, n_examples=COUNTS).update, weighted_mean(UPDATES.tolist(), COUNTS)
    )
    release = shield.aggregate(UPDATES, n_examples=COUNTS, drop={1: "upload"})
    assert close(release.update, weighted_mean(UPDATES.tolist(), COUNTS, [0, 2, 3, 4], total=450))
    assert str(release) == "4 of 5, scaled by .8"


def test_running_statistics_are_a_plain_mean():
    statistics = torch.arange(5.0)[:, None].double()
    release = Pipeline(Weigh(200)).aggregate(UPDATES, n_examples=COUNTS, statistics=statistics)
    assert release.statistics.tolist() == [2.0]


def test_under_a_sum_the_server_sees_no_count():
    shield = Pipeline(Weigh(200), MaskedSum(2))
    transcript = shield.aggregate(UPDATES, n_examples=COUNTS, transcript=True).transcript
    view = transcript.view(Vantage.SERVER)
    replies = [Envelope.read(p.letter) for p in view.letters if p.sender != "server"]
    words = [decode(e.letter) for e in replies if e.stage == "mask"]
    plain = FixedPoint().apply(torch.tensor(COUNTS) / 200, None)
    assert len(words) == 5
    assert not any(int(word[-1]) == int(p) for word in words for p in plain)
    assert view.rows.sums[0, -1] == pytest.approx(sum(COUNTS) / 200)


def test_counts_without_weigh_are_refused_and_the_fix_is_named():
    with pytest.raises(ValueError, match=r"same weight.*Weigh\(max_examples=…\).*uniform_weights"):
        Pipeline(Clip(1.0)).aggregate(UPDATES, n_examples=COUNTS)
    accepted = Pipeline(accepting="uniform_weights")
    assert close(
        accepted.aggregate(UPDATES, n_examples=COUNTS).update, UPDATES.mean(dim=0).tolist()
    )


@pytest.mark.parametrize("counts", [None, [1, 2], []])
def test_missing_counts_are_refused(counts):
    with pytest.raises(ValueError, match=r"n_examples=" if counts is None else "hold 5 values"):
        Pipeline(Weigh(10)).aggregate(UPDATES, n_examples=counts)


@pytest.mark.parametrize(
    ("parts", "rule"),
    [
        ((Weigh(10), Clip(1.0), LocalGaussianNoise(1.0)), "R2"),
        ((Weigh(10), Clip(1.0), Mean(), CentralGaussianNoise(1.0)), "R2"),
        ((Clip(1.0), LocalGaussianNoise(1.0), Weigh(10)), "R4"),
        ((Clip(1.0), LocalGaussianNoise(1.0), Weigh(10, total=10)), "R4"),
        ((Shares(), Weigh(10)), "R4"),
        ((Weigh(10), TrimmedMean(n_byzantine=1)), "R33"),
        ((Plain(), Weigh(10)), "R33"),
    ],
    ids=str,
)
def test_a_private_quotient_under_noise_is_refused(parts, rule):
    with pytest.raises(CompositionError) as error:
        Pipeline(*parts)
    assert error.value.rule == rule
    assert any(isinstance(part, Weigh) for part in error.value.parts)


def test_a_public_total_goes_with_noise():
    """One client moves sum(count * x) / total by at most max_examples * C / total."""
    shield = Pipeline(Clip(2.0), Weigh(10, total=50), Mean(), CentralGaussianNoise(1.0))
    plan = shield.plan(n_clients=8, dim=3)
    body, tail = 2.0 * 10 / 50, 2.0 / 8  # the count itself is averaged over 8 clients
    assert plan.release_std == pytest.approx((body**2 + tail**2) ** 0.5)


@pytest.mark.parametrize(
    "cohort",
    [
        Cohort((0, 1), (1.0, 0.5)),
        Cohort((0, 1), None, torch.ones(2, 6, dtype=torch.bool)),
    ],
    ids=["weights", "owners"],
)
def test_public_weights_beside_counts_are_refused(cohort):
    with pytest.raises(PlanError, match="Keep one of them") as error:
        Pipeline(Weigh(10)).aggregate(UPDATES[:2], n_examples=[1, 2], cohort=cohort)
    assert error.value.rule == "R2"


@pytest.mark.parametrize(
    "arguments", [(0,), (-1,), (float("inf"),), (10, 0), (10, None, 0.0), ("many",)]
)
def test_bounds_that_bound_nothing_are_refused(arguments):
    with pytest.raises(ValueError, match="must be positive"):
        Weigh(*arguments)
