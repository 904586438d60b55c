"""A federation that keeps a ledger: charged first, stopped in time, and never rewound."""

import math

import pytest
import torch
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, get_epsilon_gaussian
from torch import nn

from privfl import (
    Budget,
    BudgetExceeded,
    CompositionError,
    Federation,
    Ledger,
    LedgerTampered,
    Pipeline,
    ProtocolAbort,
)
from privfl.accounting import epsilon_of
from privfl.core import encode
from privfl.crypto import Stream
from privfl.defenses.dp import AdaptiveClip, CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.robust import TrimmedMean
from privfl.learning import LocalSGD
from privfl.parts import Mean, Plain, Weigh
from privfl.sampling import FixedSize, Poisson, Shuffled

DELTA = 1e-5
N = 6
CENTRAL = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(4.0))
LOCAL = Pipeline(Clip(1.0), LocalGaussianNoise(8.0))


def net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(4, 3)


def data():
    g = torch.Generator().manual_seed(1)
    return [(torch.randn(8, 4, generator=g), torch.randint(3, (8,), generator=g)) for _ in range(N)]


def federation(pipeline=CENTRAL, **options):
    options = {"loss": nn.functional.cross_entropy, "local": LocalSGD(steps=1)} | options
    return Federation(options.pop("net", net()), data(), pipeline, **options)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "run.db")


@pytest.fixture
def account(ledger):
    return ledger.datasets({k: f"clinic-{k}" for k in range(N)})


def charges(ledger):
    return [entry.fields for entry in ledger.entries if entry.kind == "charge"]


def gaussian(z, rounds):
    return get_epsilon_gaussian(z / math.sqrt(rounds), DELTA)


def test_each_round_is_charged_to_each_client(ledger, account):
    run = federation(ledger=account)
    for _ in run.rounds(3):
        pass
    assert len(charges(ledger)) == 3 * N
    spent = ledger.epsilon(DELTA, dataset="clinic-2").upper
    assert spent == pytest.approx(gaussian(4.0, 3), rel=1e-6)
    assert [r.epsilon for r in run.history] == pytest.approx(
        [gaussian(4.0, k) for k in (1, 2, 3)], rel=1e-6
    )


def test_a_round_is_charged_before_any_client_is_asked(ledger, account):
    found = []

    def train(model, data, generator):
        found.append(len(charges(ledger)))
        return model

    federation(ledger=account, local=train).round()
    assert found == [N] * N


def test_a_round_that_fails_stays_charged(ledger, account):
    run = federation(ledger=account)
    with pytest.raises(ProtocolAbort):
        run.round(drop=dict.fromkeys(range(N), "upload"))
    assert len(charges(ledger)) == N


def test_the_loop_stops_before_the_budget_is_passed(ledger, account):
    budget = Budget(epsilon=gaussian(4.0, 5) + 1e-6, delta=DELTA)
    run = federation(ledger=account)
    assert len(list(run.rounds(100, budget=budget))) == 5
    assert len(charges(ledger)) == 5 * N
    assert list(federation(ledger=account).rounds(100, budget=budget)) == []


def test_without_a_ledger_the_run_counts_itself():
    budget = Budget(epsilon=gaussian(4.0, 5) + 1e-6, delta=DELTA)
    run = federation()
    assert len(list(run.rounds(100, budget=budget))) == 5
    assert run.history[-1].epsilon == pytest.approx(gaussian(4.0, 5), rel=1e-6)


def test_a_budget_of_the_account_raises_where_the_loop_was_given_none(ledger):
    account = ledger.dataset("a").budget(gaussian(4.0, 2) + 1e-6, DELTA)
    run = federation(ledger=account)
    with pytest.raises(BudgetExceeded):
        list(run.rounds(5))
    assert len(run.history) == 2


def test_a_run_without_noise_fits_no_budget(ledger, account):
    run = federation(Pipeline(Clip(1.0)), ledger=account)
    assert list(run.rounds(3, budget=Budget(1e6, DELTA))) == []
    assert charges(ledger) == []


def test_an_undefended_round_is_an_entry(ledger, account):
    run = federation(Pipeline(), ledger=account)
    run.round()
    assert {c["event"]["kind"] for c in charges(ledger)} == {"NonPrivateDpEvent"}
    assert run.history[0].epsilon == math.inf


def test_a_seeded_run_is_charged_as_what_it_is_and_shown_as_designed(ledger, account):
    run = federation(ledger=account, generator=torch.Generator().manual_seed(0))
    run.round()
    kinds = {"unit": "client", "vantage": "outsider", "relation": "zero-out"}
    assert ledger.epsilon(DELTA, dataset="clinic-0", **kinds).upper == math.inf
    alone = federation(generator=torch.Generator().manual_seed(0))
    alone.round()
    assert alone.history[0].epsilon == pytest.approx(gaussian(4.0, 1), rel=1e-6)


def test_a_round_is_bound_to_its_aggregate_and_its_model(ledger, account):
    import hashlib

    run = federation(ledger=account)
    release = run.round().release
    bound = [entry.fields for entry in ledger.entries if entry.kind == "release"]
    update = hashlib.sha256(encode(release.update)).hexdigest()
    assert [b["update"] for b in bound] == [update, ""]
    assert bound[0]["release"] == charges(ledger)[0]["release"]
    assert len(bound[1]["model"]) == 64
    assert repr(CENTRAL) in charges(ledger)[0]["pipeline"]


# sampling


def test_sampled_central_noise_is_amplified_against_an_outsider(ledger, account):
    run = federation(ledger=account, sampling=Poisson(rate=0.3))
    for _ in run.rounds(4):
        pass
    event = PoissonSampledDpEvent(0.3, GaussianDpEvent(4.0))
    expected = epsilon_of(event, DELTA, "zero-out", count=4).upper
    sampled = [c for c in charges(ledger) if c["event"]["kind"] == "PoissonSampledDpEvent"]
    assert len(sampled) == 4 * N  # members or not
    assert ledger.epsilon(DELTA, dataset="clinic-0").upper == pytest.approx(expected)
    assert run.history[-1].epsilon == pytest.approx(expected)


def test_sampled_local_noise_is_charged_to_the_members(ledger, account):
    """The server knows them; an outsider can tell by how loud the noise is."""
    run = federation(LOCAL, ledger=account, sampling=Poisson(rate=0.5))
    taken = [set(r.release.survivors) for r in run.rounds(6)]
    for client in range(N):
        times = sum(client in cohort for cohort in taken)
        found = [c["count"] for c in charges(ledger) if c["dataset"] == f"clinic-{client}"]
        assert found == [1] * times
        for vantage in ("server", "outsider") if times else ():
            spent = ledger.epsilon(DELTA, dataset=f"clinic-{client}", vantage=vantage).upper
            assert spent == pytest.approx(gaussian(4.0, times), rel=1e-6)


def test_local_noise_on_samples_of_one_size_is_amplified_against_an_outsider(ledger, account):
    noise = LocalGaussianNoise(8.0, relation="replace-one")
    run = federation(Pipeline(Clip(1.0), noise), ledger=account, sampling=FixedSize(size=2))
    taken = [set(r.release.survivors) for r in run.rounds(4)]
    times = sum(0 in cohort for cohort in taken)
    ask = {"dataset": "clinic-0", "unit": "client", "relation": "replace-one"}
    server = ledger.epsilon(DELTA, vantage="server", **ask).upper
    # any two messages are neighbours: replace-one costs what zero-out does
    assert server == pytest.approx(gaussian(4.0, times) if times else 0.0, rel=1e-6)
    assert len([c for c in charges(ledger) if c["vantage"] == []]) == 4 * N


@pytest.mark.parametrize("kept", [True, False])
def test_being_left_out_of_a_cohort_spends_nothing_against_the_server(account, kept):
    """Nothing was claimed against it when the client was in: it is not what the budget caps."""
    run = federation(ledger=account if kept else None, sampling=Poisson(rate=0.5))
    assert len(list(run.rounds(12, budget=Budget(50.0, DELTA)))) == 12


def test_one_name_for_all_clients_is_charged_once_a_round(ledger):
    """Whoever was drawn shows the server everything, whatever the others did not show."""
    run = federation(ledger=ledger.dataset("everybody"), sampling=Poisson(rate=0.5))
    list(run.rounds(4))
    question = {"unit": "client", "relation": "zero-out"}
    event = PoissonSampledDpEvent(0.5, GaussianDpEvent(4.0))
    outsider = ledger.epsilon(DELTA, vantage="outsider", **question).upper
    assert outsider == pytest.approx(epsilon_of(event, DELTA, "zero-out", count=4).upper)
    assert ledger.epsilon(DELTA, vantage="server", **question).upper == math.inf


def test_a_fixed_size_is_not_amplified_under_zero_out(ledger, account):
    run = federation(ledger=account, sampling=FixedSize(size=3))
    run.round()
    assert len(charges(ledger)) == 3
    assert {c["event"]["kind"] for c in charges(ledger)} == {"GaussianDpEvent"}


def test_a_sum_is_divided_by_the_expected_cohort_and_not_by_the_realised_one():
    """Everybody's update is clipped to norm 1, so the norm of the mean shows the divisor."""
    shield = Pipeline(Clip(1e-3), Mean(), CentralGaussianNoise(1e-6))

    def train(model, data, generator):
        with torch.no_grad():
            model.weight += 1.0
        return model

    run = federation(shield, sampling=Poisson(rate=0.5), local=train)
    for _ in range(5):
        release = run.round().release
        expected = 1e-3 * len(release.survivors) / (0.5 * N)
        assert float(release.update.norm()) == pytest.approx(expected, abs=1e-7)


def test_without_a_claim_the_mean_is_over_those_who_came():
    run = federation(Pipeline(), sampling=Poisson(rate=0.5))
    for _ in range(5):
        release = run.round().release
        assert release.denominator == max(1, len(release.survivors))


@pytest.mark.parametrize("pipeline", [CENTRAL, LOCAL, Pipeline(Weigh(max_examples=10))])
def test_an_empty_cohort_is_a_round_too(pipeline):
    run = federation(pipeline, sampling=Poisson(rate=1e-9))
    done = run.round()
    assert done.release.survivors == ()
    noisy = pipeline.contract.noise == "central"
    assert bool((done.release.update != 0).any()) == (noisy or pipeline is LOCAL)


def test_a_shuffled_pass_takes_every_client_once():
    run = federation(Pipeline(), sampling=Shuffled(size=2))
    rounds = [r.release.survivors for r in run.rounds(6)]
    for one_pass in (rounds[:3], rounds[3:]):
        assert sorted(who for cohort in one_pass for who in cohort) == list(range(N))


def test_a_rule_that_counts_rows_is_refused_a_cohort_by_chance():
    shield = Pipeline(Clip(1.0), Plain(), TrimmedMean(n_byzantine=1), CentralGaussianNoise(1.0))
    with pytest.raises(CompositionError) as refusal:
        federation(shield, sampling=Poisson(rate=0.5))
    assert refusal.value.rule == "R12"
    assert "FixedSize" in refusal.value.fix
    federation(shield, sampling=FixedSize(size=4)).round()


# checkpoints


def resumed(path, **options):
    options = {"loss": nn.functional.cross_entropy, "local": LocalSGD(steps=1)} | options
    pipeline = options.pop("pipeline", CENTRAL)
    return Federation.resume(path, net(), options.pop("data", data()), pipeline, **options)


def test_a_checkpoint_cannot_rewind_the_ledger(ledger, account, tmp_path):
    run = federation(ledger=account)
    run.round()
    run.save(tmp_path / "early")
    list(run.rounds(3))
    again = resumed(tmp_path / "early", ledger=account)
    assert len(again.history) == 1
    record = again.round().record  # five releases left, whatever the checkpoint says
    assert (record.round, record.epsilon) == (1, pytest.approx(gaussian(4.0, 5), rel=1e-6))


def test_a_ledger_without_the_checkpoints_head_is_refused(ledger, account, tmp_path):
    run = federation(ledger=account)
    run.round()
    run.save(tmp_path / "checkpoint")
    other = Ledger(tmp_path / "other.db").datasets({k: f"clinic-{k}" for k in range(N)})
    with pytest.raises(LedgerTampered):
        resumed(tmp_path / "checkpoint", ledger=other)
    with pytest.raises(ValueError, match="Pass ledger="):
        resumed(tmp_path / "checkpoint")


def test_going_on_is_the_same_as_never_having_stopped(tmp_path):
    straight = federation(generator=Stream.replay(5))
    list(straight.rounds(4))
    half = federation(generator=Stream.replay(5))
    list(half.rounds(2))
    half.save(tmp_path / "half")
    rest = resumed(tmp_path / "half")
    list(rest.rounds(2))
    assert torch.equal(rest.model.weight, straight.model.weight)
    assert [r.epsilon for r in rest.history] == [r.epsilon for r in straight.history]


def test_a_checkpoint_holds_no_secret_key(tmp_path):
    run = federation()
    run.round()
    run.save(tmp_path / "checkpoint")
    assert run.stream._key not in (tmp_path / "checkpoint").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pipeline": LOCAL}, "The pipeline must be the checkpoint's"),
        ({"data": data()[:3]}, "The members must be the checkpoint's"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path, change, message):
    federation().save(tmp_path / "checkpoint")
    with pytest.raises(ValueError, match=message):
        resumed(tmp_path / "checkpoint", **change)


@pytest.mark.parametrize("junk", [b"", b"junk", encode({"version": 99}), encode(("a",))])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, junk):
    (tmp_path / "checkpoint").write_bytes(junk)
    with pytest.raises(ValueError, match="checkpoint"):
        resumed(tmp_path / "checkpoint")


def test_a_bare_ledger_does_not_know_the_dataset(ledger):
    with pytest.raises(ValueError, match=r"ledger\.dataset\(name\)"):
        federation(ledger=ledger)


# loops of one's own


def test_aggregate_and_average_charge_too(ledger):
    account = ledger.dataset("a")
    CENTRAL.aggregate(torch.zeros(3, 2), ledger=account)
    model = net()
    CENTRAL.average([model.state_dict()] * 3, model, ledger=account)
    averager = CENTRAL.averager(model, ledger=account)
    averager([model.state_dict()] * 3)
    assert ledger.epsilon(DELTA).upper == pytest.approx(gaussian(4.0, 3), rel=1e-6)
    assert [e.kind for e in ledger.entries] == ["charge", "release"] * 3


def test_a_spent_budget_stops_an_aggregate_before_it_starts(ledger):
    account = ledger.dataset("a").budget(gaussian(4.0, 1) + 1e-6, DELTA)
    CENTRAL.aggregate(torch.zeros(3, 2), ledger=account)
    with pytest.raises(BudgetExceeded):
        CENTRAL.aggregate(torch.zeros(3, 2), ledger=account)


def test_an_aggregate_with_a_generator_is_charged_as_seeded(ledger):
    CENTRAL.aggregate(torch.zeros(3, 2), ledger=ledger.dataset("a"), generator=Stream.replay(1))
    assert charges(ledger)[0]["event"]["kind"] == "NonPrivateDpEvent"


def test_an_empty_cohort_measures_nothing():
    """A bit of nobody counted as one would tell an empty cohort from a cohort of one."""
    shield = Pipeline(AdaptiveClip(share=0.1), Mean(), CentralGaussianNoise(1e-9))
    run = federation(shield, sampling=Poisson(rate=0.05))
    empty = [r.release for r in run.rounds(60) if not r.release.survivors]
    assert empty  # without one: .27 ** 60
    assert all(r.scalars["unclipped"] == pytest.approx(0.0, abs=1e-3) for r in empty)
