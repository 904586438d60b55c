"""Which pairs compose: every cell that concerns parts that exist builds, or raises with its rule.

The rows and columns are those of the table of soundness rules. `MaskedSum` stands for secure
aggregation, and `Shares` for noise in shares.
"""

import pytest
import torch
from torch import nn

from parts_for_tests import MaskedSum, PowerSGD, Shares
from privfl import CompositionError, Layout, Pipeline, PlanError
from privfl.compression import Quantize, RandomK, Rotate, TopK
from privfl.core import Cohort
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.he import BFV, CKKS
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import NNM, Krum, TrimmedMean
from privfl.parts import Grouped, Mean, Plain, Weigh

CLIP, CENTRAL, LOCAL = Clip(1.0), CentralGaussianNoise(1.0), LocalGaussianNoise(1.0)
SHARE, TOP, SUM = Shares(), TopK(1), MaskedSum(2)
KRUM, TRIMMED, NNM_ = (
    Krum(n_byzantine=1),
    TrimmedMean(n_byzantine=1),
    NNM(TrimmedMean(n_byzantine=1)),
)
GROUPS = Grouped(SUM, size=2)
RANDOM, ROTATE = RandomK(2), Rotate()
SECAGG, KRUM_OF_THREE = SecAgg(), Krum(n_byzantine=0)
APPROXIMATE, EXACT = CKKS(), BFV()
RELEASED, HANDED = CKKS(bits=12, published=10), BFV(published=True)

BUILDS = [
    # clip
    (CLIP, Mean(), CENTRAL),
    (Plain(), CLIP, Mean(), CENTRAL),
    (CLIP, LOCAL),
    (CLIP, SHARE, SUM),
    (TOP, CLIP),
    (CLIP, SUM),
    (CLIP, KRUM),
    (CLIP, TRIMMED),
    (CLIP, NNM_),
    (Plain(), CLIP, KRUM),
    # central noise
    (TOP, CLIP, Mean(), CENTRAL),
    (CLIP, KRUM, CENTRAL),
    (CLIP, TRIMMED, CENTRAL),
    (CLIP, NNM_, CENTRAL),
    (CLIP, Grouped(Plain(), size=2), TRIMMED, CENTRAL),
    # local noise
    (CLIP, LOCAL, SUM),
    (CLIP, LOCAL, KRUM),
    (CLIP, LOCAL, TRIMMED),
    (CLIP, LOCAL, Grouped(Plain(), size=2), TRIMMED),
    # shares
    (CLIP, SHARE, Grouped(SUM, size=2)),
    # private top-k
    (TOP, KRUM),
    (TOP, TRIMMED),
    (TOP, CLIP, LOCAL),
    (TOP, CLIP, RANDOM, Mean(), CENTRAL),
    (ROTATE, TOP, CLIP),
    # public supports and rotations
    (RANDOM,),
    (RANDOM, CLIP, Mean(), CENTRAL),
    (CLIP, RANDOM, Mean(), CENTRAL),
    (CLIP, RANDOM, LOCAL),
    (CLIP, LOCAL, RANDOM),
    (CLIP, RANDOM, LOCAL, SECAGG),
    (CLIP, RANDOM, SHARE, SUM),
    (CLIP, RANDOM, Quantize(8), SECAGG),
    (CLIP, RANDOM, APPROXIMATE),
    (CLIP, RANDOM, EXACT),
    (CLIP, RANDOM, HANDED),
    (CLIP, RANDOM, Grouped(SECAGG, size=3), TRIMMED),
    (CLIP, RANDOM, KRUM),
    (CLIP, RANDOM, TRIMMED, CENTRAL),
    (CLIP, RANDOM, NNM_),
    (CLIP, RANDOM, Plain(), CLIP, Mean(), CENTRAL),
    (Weigh(5), CLIP, RANDOM, SECAGG),
    (CLIP, Weigh(5, total=9), RANDOM, Mean(), CENTRAL),
    (ROTATE, CLIP, SECAGG),
    (CLIP, ROTATE, RANDOM, SECAGG),
    (CLIP, ROTATE, Mean(), CENTRAL),
    (CLIP, ROTATE, LOCAL),
    (CLIP, LOCAL, ROTATE),
    (CLIP, ROTATE, APPROXIMATE),
    (CLIP, ROTATE, EXACT),
    (CLIP, ROTATE, KRUM),
    (CLIP, ROTATE, TRIMMED),
    # groups
    (GROUPS, KRUM),
    (GROUPS, TRIMMED),
    (GROUPS, NNM_),
    (GROUPS, Mean()),
    (CLIP, GROUPS, CLIP, TRIMMED),
    # secure aggregation itself
    (CLIP, SECAGG),
    (CLIP, Quantize(8), SECAGG),
    (CLIP, LOCAL, SECAGG),
    (Weigh(5), CLIP, SECAGG),
    (PowerSGD(1, 2), Clip(100.0), SECAGG),
    (CLIP, Grouped(SECAGG, size=3), Mean()),
    (CLIP, Grouped(SECAGG, size=3), KRUM_OF_THREE),
    (CLIP, Grouped(SECAGG, size=3), TRIMMED),
    (CLIP, Grouped(SECAGG, size=3), CLIP, NNM_),
    (CLIP, Quantize(8)),
    (CLIP, Quantize(8), KRUM),
    # homomorphic encryption
    (CLIP, APPROXIMATE),
    (CLIP, EXACT),
    (CLIP, Quantize(8), EXACT),
    (CLIP, RELEASED),
    (CLIP, HANDED),
    (CLIP, LOCAL, APPROXIMATE),
    (CLIP, LOCAL, EXACT),
    (CLIP, SHARE, EXACT),
    (CLIP, SHARE, Quantize(8), HANDED),
    (TOP, CLIP, APPROXIMATE),
    (TOP, CLIP, EXACT),
    (Weigh(5), CLIP, APPROXIMATE),
    (Weigh(5), CLIP, EXACT),
    (PowerSGD(1, 2), Clip(100.0), RELEASED),
    (CLIP, Grouped(RELEASED, size=3), KRUM_OF_THREE),
    (CLIP, Grouped(HANDED, size=3), TRIMMED),
    (CLIP, Grouped(HANDED, size=3), CLIP, NNM_),
    # weights
    (Weigh(5),),
    (Weigh(5), CLIP, SUM),
    (CLIP, Weigh(5), GROUPS, Mean()),
    (CLIP, Weigh(5, total=9), Mean(), CENTRAL),
    (CLIP, Weigh(5, total=9), LOCAL),
]

# parts, rule, the two sides of the contradiction, what to do
REFUSED = [
    ((CLIP, LOCAL, Mean(), CENTRAL), "R31", (LOCAL, CENTRAL), "Keep one"),
    ((CLIP, SHARE, SUM, Mean(), CENTRAL), "R31", (SHARE, CENTRAL), "Keep one"),
    ((CLIP, SHARE, LOCAL, SUM), "R31", (SHARE, LOCAL), "Keep one"),
    ((CLIP, LOCAL, SHARE, SUM), "R31", (LOCAL, SHARE), "Keep one"),
    ((CLIP, SUM, Mean(), CENTRAL), "R31", (SUM, CENTRAL), "exact_sum_to_server"),
    ((CLIP, GROUPS, Mean(), CENTRAL), "R31", (GROUPS, CENTRAL), "exact_sum_to_server"),
    ((CLIP, GROUPS, TRIMMED, CENTRAL), "R31", (GROUPS, CENTRAL), "exact_sum_to_server"),
    ((TOP, SUM), "R32", (TOP, SUM), "RandomK"),
    ((TOP, GROUPS), "R32", (TOP, SUM), "RandomK"),
    ((SECAGG,), "R6", ("no clip norm", SECAGG), "Put Clip"),
    ((TOP, CLIP, SECAGG), "R32", (TOP, SECAGG), "RandomK"),
    ((TOP, CLIP, RANDOM, SECAGG), "R32", (TOP, SECAGG), "RandomK"),
    ((TOP, CLIP, Grouped(SECAGG, size=3)), "R32", (TOP, SECAGG), "RandomK"),
    ((CLIP, Quantize(8), RANDOM), "R4", (Quantize(8), RANDOM), "before the rounding"),
    ((CLIP, Quantize(8), ROTATE), "R4", (Quantize(8), ROTATE), "before the rounding"),
    ((CLIP, Plain(), RANDOM), "R33", (RANDOM, Plain()), "before the protocol"),
    ((Plain(), ROTATE), "R33", (ROTATE, Plain()), "before the protocol"),
    ((CLIP, RANDOM, SECAGG, KRUM), "R8", (SECAGG, KRUM), "Grouped"),
    ((CLIP, RANDOM, SECAGG, Mean(), CENTRAL), "R31", (SECAGG, CENTRAL), "exact_sum_to_server"),
    ((CLIP, SECAGG, KRUM), "R8", (SECAGG, KRUM), "Grouped"),
    ((CLIP, SECAGG, TRIMMED), "R8", (SECAGG, TRIMMED), "Grouped"),
    ((CLIP, SECAGG, NNM_), "R8", (SECAGG, NNM_), "Grouped"),
    ((CLIP, SECAGG, Mean(), CENTRAL), "R31", (SECAGG, CENTRAL), "exact_sum_to_server"),
    ((CLIP, SECAGG, SUM), "R33", (SECAGG, SUM), "Keep one"),
    ((APPROXIMATE,), "R6", ("no clip norm", APPROXIMATE), "Put Clip"),
    ((EXACT,), "R6", ("no clip norm", EXACT), "Put Clip"),
    ((CLIP, Quantize(8), APPROXIMATE), "R33", (Quantize(8), APPROXIMATE), "BFV()"),
    ((CLIP, APPROXIMATE, KRUM), "R8", (APPROXIMATE, KRUM), "Grouped"),
    ((CLIP, EXACT, TRIMMED), "R8", (EXACT, TRIMMED), "Grouped"),
    ((CLIP, RELEASED, NNM_), "R8", (RELEASED, NNM_), "Grouped"),
    ((CLIP, Grouped(EXACT, size=3)), "R33", (EXACT, Grouped(EXACT, size=3)), "server opens"),
    ((CLIP, APPROXIMATE, Mean(), CENTRAL), "R31", (APPROXIMATE, CENTRAL), "exact_sum_to_server"),
    ((CLIP, RELEASED, Mean(), CENTRAL), "R31", (RELEASED, CENTRAL), "exact_sum_to_server"),
    ((CLIP, EXACT, SECAGG), "R33", (EXACT, SECAGG), "Keep one"),
    (
        (PowerSGD(1, 2), Clip(9.0), APPROXIMATE),
        "R33",
        (PowerSGD(1, 2), APPROXIMATE),
        "server opens",
    ),
    ((Quantize(8),), "R32", ("no clip norm", Quantize(8)), "Put Clip"),
    ((CLIP, Quantize(8), LOCAL), "R5", (Quantize(8), LOCAL), "Put Clip"),
    ((SUM, KRUM), "R8", (SUM, KRUM), "Grouped"),
    ((SUM, TRIMMED), "R8", (SUM, TRIMMED), "Grouped"),
    ((SUM, NNM_), "R8", (SUM, NNM_), "Grouped"),
    ((CLIP, SHARE, SUM, KRUM), "R8", (SUM, KRUM), "Grouped"),
    ((Mean(), CENTRAL), "R2", ("no clip norm", CENTRAL), "Put Clip"),
    ((LOCAL,), "R5", ("no clip norm", LOCAL), "Put Clip"),
    ((CLIP, Mean(), LOCAL), "R5", (Mean(), LOCAL), "CentralGaussianNoise(1.0)"),
    ((CLIP, CENTRAL), "R5", (CENTRAL, "the clients"), "LocalGaussianNoise(1.0)"),
    (
        (CLIP, TRIMMED, CentralGaussianNoise(1.0, relation="add/remove")),
        "R2",
        (TRIMMED, CentralGaussianNoise(1.0, relation="add/remove")),
        "another relation",
    ),
    ((CLIP, TOP), "R4", (CLIP, TOP), "in front of the clip"),
    ((CLIP, TOP, LOCAL), "R4", (CLIP, TOP), "in front of the clip"),
    ((CLIP, LOCAL, CLIP), "R1", (LOCAL, CLIP), "before the noise"),
    ((Mean(), CLIP), "R1", (Mean(), CLIP), "before the protocol"),
    ((Weigh(5), CLIP, Mean(), CENTRAL), "R2", (Weigh(5), CENTRAL), "public total"),
    ((Weigh(5), CLIP, LOCAL), "R2", (Weigh(5), LOCAL), "public total"),
    ((CLIP, LOCAL, Weigh(5)), "R4", (LOCAL, Weigh(5)), "before the noise"),
    ((Weigh(5), KRUM), "R33", (Weigh(5), KRUM), "Mean()"),
    ((Plain(), Weigh(5)), "R33", (Weigh(5), Plain()), "before the protocol"),
    ((Plain(), SUM), "R33", (Plain(), SUM), "Keep one"),
    ((Mean(), KRUM), "R33", (Mean(), KRUM), "Keep one"),
    ((KRUM, Plain()), "R33", (Plain(), KRUM), "behind the protocol"),
    ((PowerSGD(1, 2), PowerSGD(2, 2)), "R33", (PowerSGD(1, 2), PowerSGD(2, 2)), "Keep one"),
    ((PowerSGD(1, 2), KRUM), "R33", (PowerSGD(1, 2), KRUM), "Mean()"),
]

ACCEPTED = [
    ((CLIP, LOCAL, Mean(), CENTRAL), "local_and_central_noise"),
    ((CLIP, SUM, Mean(), CENTRAL), "exact_sum_to_server"),
    ((CLIP, GROUPS, TRIMMED, CENTRAL), "exact_sum_to_server"),
    ((CLIP, SECAGG, Mean(), CENTRAL), "exact_sum_to_server"),
    ((CLIP, Grouped(SECAGG, size=3), TRIMMED, CENTRAL), "exact_sum_to_server"),
    ((CLIP, APPROXIMATE, Mean(), CENTRAL), "exact_sum_to_server"),
    ((CLIP, HANDED, Mean(), CENTRAL), "exact_sum_to_server"),
]


@pytest.mark.parametrize("parts", BUILDS, ids=str)
def test_this_pipeline_builds_and_has_a_plan(parts):
    shield = Pipeline(*parts)
    plan = shield.plan(n_clients=10, dim=4)
    assert (plan.release_std > 0) == (shield.contract.noise in ("local", "central"))
    assert str(shield.explain(n_clients=10, dim=4)).startswith("Pipeline(")


@pytest.mark.parametrize(("parts", "rule", "pair", "fix"), REFUSED, ids=str)
def test_this_pipeline_is_refused_by_its_rule_with_both_parts_and_the_fix(parts, rule, pair, fix):
    with pytest.raises(CompositionError) as error:
        Pipeline(*parts)
    refused = error.value
    assert (refused.rule, refused.parts) == (rule, pair)
    assert fix in refused.fix
    assert str(refused) == f"[{rule}] {refused.reason}.\n  {refused.fix}."


@pytest.mark.parametrize(("parts", "condition"), ACCEPTED, ids=str)
def test_this_pipeline_builds_where_its_condition_is_accepted(parts, condition):
    shield = Pipeline(*parts, accepting={condition})
    assert shield.plan(n_clients=10, dim=4).charges
    assert len(shield.explain(n_clients=10, dim=4).accepted) == 1


@pytest.mark.parametrize(
    ("shield", "options", "rule"),
    [
        (Pipeline(KRUM), {"n_clients": 4}, "R17"),
        (Pipeline(TrimmedMean(n_byzantine=5)), {"n_clients": 10}, "R17"),
        (Pipeline(Grouped(SUM, size=3), KRUM), {"n_clients": 12}, "R17"),
        (Pipeline(Grouped(SUM, size=6)), {"n_clients": 5}, "R8"),
    ],
    ids=str,
)
def test_a_cohort_that_is_too_small_is_refused_before_anybody_trains(shield, options, rule):
    with pytest.raises(PlanError) as error:
        shield.plan(dim=3, **options)
    assert error.value.rule == rule
    assert error.value.fix


@pytest.mark.parametrize(
    "parts", [(CLIP, LOCAL), (CLIP, Mean(), CENTRAL), (SUM,), (GROUPS, TRIMMED)]
)
def test_running_statistics_are_refused_where_they_would_be_noised_or_hidden(parts):
    """They are facts of a model, so that the check waits until one is there."""
    shield = Pipeline(*parts)
    with pytest.raises(CompositionError, match=r"statistics='local'.*GroupNorm") as error:
        shield.plan(n_clients=6, model=nn.BatchNorm1d(2))
    assert error.value.rule == "R1"
    assert shield.plan(n_clients=6, model=Layout.of(nn.BatchNorm1d(2), statistics="local"))


def test_counts_beside_public_weights_are_refused_when_the_cohort_is_known():
    with pytest.raises(PlanError) as error:
        Pipeline(Weigh(5)).aggregate(
            torch.ones(2, 3), n_examples=[1, 2], cohort=Cohort((0, 1), (1.0, 2.0))
        )
    assert (error.value.rule, error.value.parts[0]) == ("R2", Weigh(5))
