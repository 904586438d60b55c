"""One whole round over a matrix, and what a pipeline says before it."""

import math

import pytest
import torch
from torch import nn

from parts_for_tests import AdaptiveClip, MaskedSum, TopK
from privfl import CompositionError, Layout, Pipeline, PlanError, ProtocolAbort
from privfl.core import Cohort, Scalar
from privfl.crypto import Stream
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.robust import Krum, TrimmedMean
from privfl.learning import LocalSGD
from privfl.parts import Mean, Plain, Weigh
from rounds_for_tests import whole_numbers

UPDATES = whole_numbers(5, 4)
LOSS = Scalar("loss", bound=10.0, share=0.1)


# the matrix


def test_the_updates_are_not_changed():
    before = UPDATES.clone()
    Pipeline(Clip(0.1), LocalGaussianNoise(1.0)).aggregate(UPDATES)
    assert torch.equal(UPDATES, before)


def test_updates_that_want_gradients_are_read_without_them():
    updates = UPDATES.clone().requires_grad_()
    release = Pipeline(Clip(1.0)).aggregate(updates)
    assert not release.update.requires_grad


def test_names_of_clients_are_kept():
    release = Pipeline().aggregate(UPDATES, cohort=["a", "b", 3, "d", 0], drop={"b": "upload"})
    assert release.survivors == ("a", 3, "d", 0)
    assert release.n_clients == 5


def test_the_round_counts_on():
    shield = Pipeline(AdaptiveClip())
    first = shield.aggregate(UPDATES)
    second = shield.aggregate(UPDATES, state=first.state)
    assert (first.state["round"], second.state["round"]) == (1, 2)
    assert shield.aggregate(UPDATES, round=9).state["round"] == 10


@pytest.mark.parametrize(
    ("updates", "options", "text"),
    [
        (torch.zeros(0, 3), {}, "at least one row and column"),
        (torch.zeros(3), {}, r"shape \(3,\) of torch.float32"),
        (torch.zeros(2, 3).int(), {}, "of torch.int32"),
        ([[1.0]], {}, "Found list. Use torch.stack"),
        (UPDATES, {"cohort": ["a"]}, "one client for each of 5 updates. Found 1 names"),
        (UPDATES, {"cohort": ["a"] * 5}, "each client once"),
        (UPDATES, {"drop": {0: "mask"}}, r"a stage among \('upload',\). Found 'mask' for 0"),
        (UPDATES, {"drop": {9: "upload"}}, "drop names members.*9"),
        (UPDATES, {"n_examples": [1] * 5}, r"Weigh\(max_examples=…\)"),
        (UPDATES, {"scalars": {"loss": [1.0] * 5}}, r"known are \[\]. Found \['loss'\]"),
        (UPDATES, {"scalars": {LOSS: [1.0]}}, "loss must hold 5 values, one a client. Found 1"),
        (UPDATES, {"round": -1}, "round must be a whole number"),
        (UPDATES, {"state": 3}, "state is a release's state. Found int"),
        (UPDATES, {"generator": "seed"}, "generator must be None, a Stream"),
        (UPDATES, {"nonce": b"short"}, "A nonce has 16 bytes. Found 5"),
        (UPDATES, {"statistics": torch.zeros(4, 2)}, "statistics must have shape"),
        (UPDATES, {"statistics": torch.zeros(5)}, "statistics must have shape"),
    ],
)
def test_bad_input_is_refused_in_words(updates, options, text):
    with pytest.raises(ValueError, match=text):
        Pipeline().aggregate(updates, **options)


def test_every_client_gone_aborts():
    with pytest.raises(ProtocolAbort, match="None of 5 clients"):
        Pipeline().aggregate(UPDATES, drop=dict.fromkeys(range(5), "upload"))


def test_rows_that_are_not_finite_are_dropped_and_named():
    updates = UPDATES.clone()
    updates[2, 1] = math.inf
    release = Pipeline().aggregate(updates)
    assert release.survivors == (0, 1, 3, 4)
    assert release.rejected == {2: "NaN or Inf"}
    assert str(release) == "4 of 5, rejected: 2"
    assert torch.allclose(release.update, UPDATES[[0, 1, 3, 4]].mean(dim=0))


def test_a_bare_rule_refuses_what_is_not_finite():
    updates = UPDATES.clone()
    updates[2, 1] = math.nan
    for rule in (Mean(), TrimmedMean(n_byzantine=1), Krum(n_byzantine=1)):
        with pytest.raises(ValueError, match=r"NaN or Inf in rows \[2\]"):
            rule(updates)


def test_too_few_clients_are_refused_before_anybody_is_asked():
    asked = []
    shield = Pipeline(Krum(n_byzantine=2))
    with pytest.raises(PlanError, match=r"at least 7 rows. Found 5"):
        shield.aggregate(UPDATES)
    assert asked == []


def test_a_pipeline_that_trains_takes_no_updates():
    with pytest.raises(
        CompositionError, match=r"there are updates already.*\n.*Federation"
    ) as error:
        Pipeline(LocalSGD()).aggregate(UPDATES)
    assert error.value.rule == "R33"


# scalars


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (Clip(0.5),),
        (Plain(), Clip(0.5)),
        (Clip(3.0), Clip(0.5)),
        (MaskedSum(2),),
        (Clip(0.5), TrimmedMean(n_byzantine=1)),
        (AdaptiveClip(2.0),),
    ],
    ids=str,
)
def test_scalars_come_back_as_means_in_their_own_units(parts):
    losses = [0.5, 1.5, 2.5, 3.5, 4.5]
    release = Pipeline(*parts).aggregate(
        UPDATES, scalars={LOSS: losses, Scalar("h", 1e-3): [1e-4] * 5}, drop={4: last(parts)}
    )
    assert release.scalars["loss"] == pytest.approx(2.0, rel=1e-4)
    assert release.scalars["h"] == pytest.approx(1e-4, rel=1e-2)
    assert release.update.shape == (4,)


def last(parts):
    return "mask" if any(isinstance(part, MaskedSum) for part in parts) else "upload"


def test_a_scalar_beyond_its_bound_is_clamped():
    release = Pipeline().aggregate(UPDATES[:2], scalars={LOSS: [1e9, -1e9]})
    assert release.scalars["loss"] == 0.0
    assert Pipeline().aggregate(UPDATES[:1], scalars={LOSS: [1e9]}).scalars["loss"] == 10.0


def test_under_a_privacy_claim_scalars_are_divided_by_the_public_cohort():
    shield = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1e-12))
    release = shield.aggregate(UPDATES, scalars={LOSS: [5.0] * 5}, drop={0: "upload"})
    assert release.scalars["loss"] == pytest.approx(4.0)


def test_scalars_come_back_through_noise_in_their_own_units():
    """Noise of std z C' on a tail that carries loss / 10 * .1 C: 1 sigma is a loss of 10 / .1."""
    shield = Pipeline(Clip(1.0), LocalGaussianNoise(1e-4))
    release = shield.aggregate(UPDATES, scalars={LOSS: [5.0] * 5})
    assert release.scalars["loss"] == pytest.approx(5.0, abs=8 * 1e-4 * 100 / math.sqrt(5))


def test_names_of_scalars_that_a_part_declares_suffice():
    release = Pipeline(Weigh(10)).aggregate(UPDATES, scalars={"n_examples": [1, 2, 3, 4, 5]})
    assert release.scalars["n_examples"] == pytest.approx(3.0)


def test_running_statistics_are_averaged_apart():
    statistics = torch.arange(10.0).reshape(5, 2)
    release = Pipeline(Clip(1e-3)).aggregate(UPDATES, statistics=statistics, drop={0: "upload"})
    assert release.statistics.tolist() == [5.0, 6.0]


@pytest.mark.parametrize(
    "parts", [(Clip(1.0), LocalGaussianNoise(1.0)), (MaskedSum(2),)], ids=["noised", "hidden"]
)
def test_running_statistics_never_slip_past_noise_or_sum(parts):
    with pytest.raises(CompositionError, match="statistics='local'") as error:
        Pipeline(*parts).aggregate(UPDATES, statistics=torch.ones(5, 2))
    assert error.value.rule == "R1"


# average


def test_average_refuses_a_pipeline_that_remembers_and_quotes_the_next_line():
    model = nn.Linear(2, 1)
    for shield in (Pipeline(TopK(1)), Pipeline(AdaptiveClip())):
        with pytest.raises(ValueError, match=r"averager = shield.averager\(model\), then averager"):
            shield.average([model.state_dict()], model)


# plans


def test_a_plan_is_made_of_public_facts():
    plan = Pipeline(Clip(2.0), MaskedSum(3)).plan(n_clients=7, dim=11, scalars=(LOSS,))
    assert (plan.n_clients, plan.body, plan.dim, plan.min_survivors) == (7, 11, 12, 3)
    assert plan.clip_norm == 2
    assert plan.bound == pytest.approx(2 * math.sqrt(1.01))


def test_a_plan_reads_the_size_off_a_model():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    plan = Pipeline(Clip(1.0)).plan(n_clients=3, model=model)
    assert (plan.body, plan.statistics) == (15, 6)
    layout = Layout.of(model, only="0")
    assert Pipeline().plan(n_clients=3, model=layout).body == 9


def test_a_plan_follows_public_state():
    shield = Pipeline(AdaptiveClip(1.0))
    assert shield.plan(n_clients=3, dim=2).clip_norm == 1.0
    assert shield.plan(n_clients=3, dim=2, public={0: 0.25}).clip_norm == 0.25


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n_clients": 0, "dim": 3}, "n_clients must be a whole number of at least 1. Found 0"),
        ({"n_clients": 2.0, "dim": 3}, "n_clients"),
        ({"n_clients": 2}, "by dim= or by model="),
        ({"n_clients": 2, "dim": 3, "model": nn.Linear(1, 1)}, "by dim= or by model="),
        ({"n_clients": 2, "dim": 0}, "dim must be a whole number of at least 1"),
    ],
)
def test_a_plan_of_nothing_is_refused(options, text):
    with pytest.raises(ValueError, match=text):
        Pipeline().plan(**options)


def test_a_cohort_weighs_in_a_round():
    cohort = Cohort(tuple(range(5)), (1.0, 0.0, 0.0, 0.0, 1.0))
    release = Pipeline().aggregate(UPDATES, cohort=cohort)
    assert torch.allclose(release.update, (UPDATES[0] + UPDATES[4]) / 2)


def test_a_seeded_source_may_be_a_torch_generator_or_a_stream():
    shield = Pipeline(Clip(1.0), LocalGaussianNoise(1.0))

    def once(source):
        return shield.aggregate(UPDATES, generator=source, nonce=bytes(16)).update

    assert torch.equal(once(Stream.replay(1)), once(Stream.replay(1)))
    a, b = (torch.Generator().manual_seed(1) for _ in range(2))
    assert torch.equal(once(a), once(b))
