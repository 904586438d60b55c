"""Noise has exactly the scale that the accounting uses, on every coordinate of the release.

Scales are tested by chi-square at 1e-9, two-sided, with fresh noise: 40 such tests fail once in
25 million runs.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from privfl import Pipeline
from privfl.core import Cohort, Relation, Scalar
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.robust import NNM, Krum, TrimmedMean
from privfl.parts import Grouped, Mean, Plain, Weigh
from privfl.rounds import Opening, Setting

LOSS = Scalar("loss", bound=8.0, share=0.5)
# a hundred of them make the joint bound sqrt(1.25) C, as one loss of share 1/2 does
MANY = tuple(Scalar(f"s{k}", bound=8.0, share=0.05) for k in range(100))
RARE = 1e-9


def has_scale(noise, std):
    """Whether independent draws have this standard deviation: sum of squares over std^2."""
    low, high = stats.chi2.interval(1 - RARE, noise.numel())
    return low < float((noise.double() / std).square().sum()) < high


def zeros(n, d):
    return torch.zeros(n, d, dtype=torch.float64)


# central noise

# rule R2, for C = 2 and a release of 9 rows: how far one client moves it
CENTRAL = [
    (Mean(), "zero-out", 2 / 9),
    (Mean(), "replace-one", 4 / 9),
    (Mean(), "add/remove", 2 / 9),
    (TrimmedMean(n_byzantine=2), "zero-out", 2 / 5),
    (TrimmedMean(n_byzantine=2), "replace-one", 4 / 5),
    (TrimmedMean(n_byzantine=4), "zero-out", 2.0),  # the median of an odd number
    (Krum(n_byzantine=2), "zero-out", 4.0),
    (Krum(n_byzantine=2), "replace-one", 4.0),
    (Krum(n_byzantine=2), "add/remove", 4.0),
    (NNM(Krum(n_byzantine=2)), "zero-out", 4.0),
    (NNM(TrimmedMean(n_byzantine=2)), "replace-one", 4 * math.sqrt(9 / 5)),
]


@pytest.mark.parametrize(("rule", "relation", "sensitivity"), CENTRAL, ids=str)
def test_central_noise_has_the_rules_own_scale(rule, relation, sensitivity):
    shield = Pipeline(Clip(2.0), rule, CentralGaussianNoise(1.5, relation=relation))
    plan = shield.plan(n_clients=9, dim=4000)
    assert plan.release_std == pytest.approx(1.5 * sensitivity, rel=1e-12)
    assert has_scale(shield.aggregate(zeros(9, 4000)).update, 1.5 * sensitivity)


def test_central_noise_covers_the_scalars_by_the_joint_bound():
    """Body and tail get noise of z C sqrt(1.25) / n: that of the clip norm alone would be seen."""
    shield = Pipeline(Clip(2.0), Mean(), CentralGaussianNoise(1.0))
    std, tails, bodies = 2 * math.sqrt(1.25) / 4, [], []
    for _ in range(40):
        release = shield.aggregate(zeros(4, 100), scalars=dict.fromkeys(MANY, [0.0] * 4))
        tails += [release.scalars[s.name] / s.bound * (s.share * 2.0) for s in MANY]
        bodies.append(release.update)
    assert has_scale(torch.tensor(tails), std)
    assert has_scale(torch.stack(bodies), std)


def test_central_noise_is_divided_by_public_owners():
    """The sum gets std z C on every coordinate and is divided by those who own it (rule R2)."""
    owners = torch.ones(8, 3000, dtype=torch.bool)
    owners[2:, 1000:] = False
    cohort = Cohort(tuple(range(8)), None, owners)
    shield = Pipeline(Clip(2.0), Mean(), CentralGaussianNoise(1.0))
    update = shield.aggregate(zeros(8, 3000), cohort=cohort).update
    assert has_scale(update[:1000], 2 / 8)
    assert has_scale(update[1000:], 2 / 2)


def test_a_coordinate_that_nobody_owns_stays_zero():
    owners = torch.tensor([[True, False], [True, False]])
    shield = Pipeline(Clip(2.0), Mean(), CentralGaussianNoise(1.0))
    update = shield.aggregate(zeros(2, 2), cohort=Cohort((0, 1), None, owners)).update
    assert update[1] == 0
    assert update[0] != 0


def test_central_noise_is_scaled_by_the_public_weights():
    cohort = Cohort((0, 1, 2, 3), (1.0, 0.5, 0.25, 0.25))
    shield = Pipeline(Clip(2.0), Mean(), CentralGaussianNoise(1.0))
    assert has_scale(shield.aggregate(zeros(4, 4000), cohort=cohort).update, 2 / 2)
    enforced = Pipeline(Plain(), Clip(2.0), Mean(), CentralGaussianNoise(1.0))
    heavy = Cohort((0, 1, 2, 3), (3.0, 1.0, 1.0, 1.0))
    assert has_scale(enforced.aggregate(zeros(4, 4000), cohort=heavy).update, 3 * 2 / 6)


def test_central_noise_stays_the_same_when_clients_drop_out():
    shield = Pipeline(Clip(2.0), Mean(), CentralGaussianNoise(1.0))
    release = shield.aggregate(zeros(10, 4000), drop=dict.fromkeys(range(5), "upload"))
    assert has_scale(release.update, 0.2)


def test_local_and_central_noise_are_both_there_where_both_are_accepted():
    shield = Pipeline(
        Clip(2.0),
        LocalGaussianNoise(1.0),
        Mean(),
        CentralGaussianNoise(3.0),
        accepting="local_and_central_noise",
    )
    std = math.hypot(2 / math.sqrt(4), 3 * 2 / 4)
    assert shield.plan(n_clients=4, dim=4000).release_std == pytest.approx(std)
    assert has_scale(shield.aggregate(zeros(4, 4000)).update, std)
    assert len(shield.plan(n_clients=4, dim=2).charges) == 2


# local noise


def test_local_noise_has_its_scale_in_every_message():
    shield = Pipeline(Clip(2.0), LocalGaussianNoise(1.5))
    release = shield.aggregate(zeros(5, 2000))
    for row in release.opened.sums:
        assert has_scale(row, 3.0)
    assert has_scale(release.update, 3.0 / math.sqrt(5))
    assert shield.plan(n_clients=5, dim=1).release_std == pytest.approx(3.0 / math.sqrt(5))


def test_local_noise_covers_the_scalars_by_the_joint_bound():
    shield = Pipeline(Clip(2.0), LocalGaussianNoise(1.0))
    release = shield.aggregate(zeros(40, 100), scalars=dict.fromkeys(MANY, [0.0] * 40))
    assert has_scale(release.opened.sums[:, :100], 2 * math.sqrt(1.25))
    assert has_scale(release.opened.sums[:, 100:], 2 * math.sqrt(1.25))


def test_local_noise_of_weighed_clients_is_told_in_the_plan():
    cohort = Cohort(tuple(range(4)), (1.0, 0.5, 0.25, 0.25))
    shield = Pipeline(Clip(2.0), LocalGaussianNoise(1.0))
    update = shield.aggregate(zeros(4, 4000), cohort=cohort).update
    assert has_scale(update, 2.0 * math.sqrt(4) / 2)  # four messages over a total weight of 2
    setting = Setting(shield, Opening.fresh(shield, cohort, 4))
    assert setting.plan.release_std == pytest.approx(2.0 * math.sqrt(4) / 2)


# coordinates


@pytest.mark.parametrize(
    "shield",
    [
        Pipeline(Clip(1.0), LocalGaussianNoise(1.0)),
        Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.0)),
    ],
    ids=repr,
)
def test_coordinates_and_rounds_are_independent(shield):
    """Products of neighbours, of halves and of rounds have mean 0 and variance std^4."""
    first, second = (shield.aggregate(zeros(1, 20_000)).update for _ in range(2))
    products = [first[1:] * first[:-1], first[:10_000] * first[10_000:], first * second]
    for product in products:
        assert abs(float(product.sum())) < stats.norm.isf(RARE / 2) * math.sqrt(product.numel())
    assert len(set(first.tolist())) == 20_000


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_noise_keeps_the_dtype_and_its_scale(dtype):
    shield = Pipeline(Clip(1.0), LocalGaussianNoise(1.0))
    update = shield.aggregate(torch.zeros(1, 5000, dtype=dtype)).update
    assert update.dtype == dtype
    assert has_scale(update.double(), 1.0)


# how far one client moves what is released

ROWS = st.sampled_from([-9.0, -1.0, -0.5, 0.0, 0.25, 1.0, 9.0])
FORMS = {
    "mean": (Clip(1.0), Mean()),
    "enforced": (Plain(), Clip(1.0), Mean()),
    "trimmed": (Clip(1.0), TrimmedMean(n_byzantine=1)),
    "enforced and trimmed": (Plain(), Clip(1.0), TrimmedMean(n_byzantine=1)),
    "median": (Clip(1.0), TrimmedMean(n_byzantine=2)),
    "krum": (Clip(1.0), Krum(n_byzantine=1)),
    "nnm": (Clip(1.0), NNM(TrimmedMean(n_byzantine=1))),
    "groups": (Clip(1.0), Grouped(Plain(), size=2), TrimmedMean(n_byzantine=1)),
    "public total": (Clip(1.0), Weigh(4, total=8), Mean()),
}


def released(shield, updates, losses, counts, cohort, drop):
    """What leaves, as one vector in the units of the clip: update and scalars."""
    scalars = {LOSS: losses} | ({"n_examples": counts} if shield.scalars else {})
    release = shield.aggregate(
        updates, scalars=scalars, cohort=cohort, drop=drop, nonce=bytes(16), generator=seeded()
    )
    tail = [release.scalars["loss"] / LOSS.bound * LOSS.share]
    tail += [release.scalars["n_examples"] / 4] if shield.scalars else []
    return torch.cat([release.update, torch.tensor(tail, dtype=torch.float64)])


def seeded():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("relation", list(Relation), ids=str)
@given(data=st.data())
@settings(max_examples=15)
def test_no_client_moves_the_release_further_than_the_plan_says(form, relation, data):
    """Weights, dropouts, groups and scalars included; noise of 1e-12 is nothing here."""
    parts = FORMS[form]
    rule = parts[-1]
    if rule.sensitivity(1.0, 9, relation) is None:
        return
    shield = Pipeline(*parts, CentralGaussianNoise(1e-12, relation=relation))
    n, d = 7, 2
    updates = torch.tensor([[data.draw(ROWS) for _ in range(d)] for _ in range(n)]).double()
    losses = [data.draw(st.sampled_from([-8.0, 0.0, 8.0])) for _ in range(n)]
    counts = [data.draw(st.sampled_from([0.0, 1.0, 4.0])) for _ in range(n)]
    weighs = form != "public total" and data.draw(st.booleans())
    weights = tuple(data.draw(st.sampled_from([0.25, 1.0, 3.0])) for _ in range(n))
    cohort = Cohort(tuple(range(n)), weights if weighs else None)
    gone = data.draw(st.sets(st.integers(1, n - 1), max_size=2))
    drop = dict.fromkeys(gone, "upload")
    other, other_losses, other_counts = updates.clone(), list(losses), list(counts)
    replaced = relation is Relation.REPLACE_ONE
    other[0] = -updates[0] if replaced else 0.0
    other_losses[0] = -losses[0] if replaced else 0.0
    other_counts[0] = 4.0 - counts[0] if replaced else 0.0
    try:
        a = released(shield, updates, losses, counts, cohort, drop)
        b = released(shield, other, other_losses, other_counts, cohort, drop)
    except RuntimeError:  # too few rows are left for the rule: nothing is released
        return
    setting = Setting(shield, Opening.fresh(shield, cohort, d, scalars=(LOSS,)))
    assert float((a - b).norm()) <= setting.plan.sensitivity[relation] * (1 + 1e-6) + 1e-9
