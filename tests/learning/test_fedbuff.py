"""FedBuff: who is in a buffer, what it is bound to, and what a claim about it needs."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from dp_accounting import GaussianDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant

from learning_for_tests import LR, SIZES, STEPS, federation, squares, weights
from privfl import CompositionError, Ledger, Pipeline, ProtocolAbort
from privfl.crypto import Stream
from privfl.defenses.dp import DPSGD, CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.he import CKKS
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import TrimmedMean
from privfl.learning import FedAvg, FedBuff, FedOpt, Fleet, Gossip, LocalSGD, ServerMomentum, ring
from privfl.parts import Mean
from privfl.sampling import Device, FixedSize, Poisson, PowerOfChoice

DELTA = 1e-5
FLEET = Fleet([Device(speed=speed) for speed in (1.0, 3.0, 0.5, 2.0, 1.5)])
TIMED = LocalSGD(lr=LR, batch_size=1000, steps=STEPS)


def central(z=4.0, **options):
    return Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(z, **options))


def buffered(buffer=2, pipeline=None, *, participations=None, **options):
    options = {"fleet": FLEET, "local": TIMED} | options
    algorithm = FedBuff(buffer=buffer, participations=participations)
    return federation(algorithm, pipeline, **options)


@pytest.fixture
def openings(monkeypatch):
    """Keep the opening of every sum that is made from here on."""
    seen, quiet = [], Pipeline.run

    def run(self, opening, *args, **options):
        seen.append(opening)
        return quiet(self, opening, *args, **options)

    monkeypatch.setattr(Pipeline, "run", run)
    return seen


# the order of arrival


def test_who_is_done_first_is_in_the_buffer_and_waits_until_it_is_full():
    """By hand: three steps take 3, 1, 6, 1.5 and 2 seconds."""
    run = buffered(2)
    rounds = [(set(done.release.survivors), done.clock) for done in run.rounds(5)]
    assert rounds == [
        ({1, 3}, 1.5),
        ({4, 1}, 2.5),  # 1 is done at 1.5 + 1
        ({0, 3}, 3.0),  # 3 at 1.5 + 1.5
        ({1, 3}, 4.5),  # 1 at 3.5, 3 at 3 + 1.5; 4 at 2.5 + 2 is named later
        ({4, 1}, 5.5),  # 1 at 4.5 + 1; the slowest one is still on its way
    ]


def test_of_equally_fast_clients_those_who_wait_longest_and_are_named_first_come_first():
    run = buffered(2, fleet=None)
    taken = [(done.release.survivors, done.clock) for done in run.rounds(4)]
    assert taken == [((0, 1), 3.0), ((2, 3), 3.0), ((4, 0), 6.0), ((1, 2), 6.0)]


def test_a_client_trains_once_from_a_version_and_from_the_one_it_was_sent():
    seen = []

    def local(model, pair, generator):
        seen.append((len(pair[1]), model.weight.detach().numpy().tobytes()))
        step(model, pair)
        return model

    run = buffered(2, local=local)
    heads = [weights(run).tobytes()]
    for done in run.rounds(8):
        heads.append(weights(run).tobytes())
        assert len(done.release.survivors) == 2
    assert len(set(seen)) == len(seen) == 16
    assert {version for _, version in seen} <= set(heads)


def step(model, pair):
    squares(model(pair[0]), pair[1]).backward()
    with torch.no_grad():
        model.weight -= LR * model.weight.grad
    model.zero_grad()


def test_models_that_nobody_trains_from_are_forgotten():
    run = buffered(2)
    for _ in run.rounds(12):
        state = run._state
        assert set(state["models"]) == {*state["base"].values(), state["version"]}
        assert len(state["models"]) <= len(SIZES) + 1


def test_an_update_is_scaled_before_it_is_clipped_so_that_the_clip_still_bounds_it():
    """A stale update that is far too long still weighs the whole clip norm, and no more."""

    def local(model, pair, generator):
        with torch.no_grad():
            model.weight += 1e6
        return model

    run = buffered(1, Pipeline(Clip(1.0)), local=local)
    for done in run.rounds(6):
        assert float(done.release.update.norm()) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("staleness", [0, 1, 3, 8])
def test_an_old_update_counts_one_over_the_root(staleness):
    assert FedBuff().weight(staleness) == pytest.approx((1 + staleness) ** -0.5)


# what a buffer is bound to


def binding(run, openings):
    run.round()
    return openings[-1].model


@pytest.mark.parametrize("rounds", [2, 4])  # in which the head is none of the bases, and is one
def test_a_buffer_is_bound_to_the_head_and_to_the_versions_it_takes(openings, rounds):
    def fresh():
        run = buffered(2, generator=Stream.replay(0))
        list(run.rounds(rounds))
        return run

    expected = binding(fresh(), openings)
    members = openings[-1].cohort.members
    assert len(expected) == 32
    assert binding(fresh(), openings) == expected
    state = fresh()._state
    bases = {state["base"][who] for who in members}
    assert (state["version"] in bases) == (rounds == 4)
    for number in state["models"]:
        bound = number in bases or number == state["version"]
        assert (binding(changed(fresh(), number), openings) != expected) == bound


def changed(run, number):
    """Change one version of the log by a bit."""
    models = dict(run._state["models"])
    models[number] = {name: w + 1e-9 for name, w in models[number].items()}
    run._state = {**run._state, "models": models}
    return run


def test_equal_weights_are_one_version_whatever_its_number(openings):
    first = binding(buffered(2, fleet=None), openings)
    run = buffered(2, fleet=None)
    start = run._state["models"][0]
    run._state = {**run._state, "models": {0: start, 7: dict(start)}}
    run._state["base"][1] = 7
    run._state["version"] = 7
    assert binding(run, openings) == first


def test_fedavg_is_bound_to_the_model_and_gossip_to_nothing(openings):
    run = federation(FedAvg())
    bound = [openings[-1].model for _ in run.rounds(2)]
    assert len(set(bound)) == 2
    assert binding(federation(FedAvg()), openings) == bound[0]
    openings.clear()
    federation(Gossip(ring(5))).round()
    assert {opening.model for opening in openings} == {b""}
    algorithm = FedOpt(ServerMomentum(), FedBuff(buffer=2))
    assert algorithm.model_binding == "chain"


# masks


def test_masked_buffers_come_to_what_plain_ones_come_to():
    plain, masked = buffered(3, Pipeline(Clip(9.0))), buffered(3, Pipeline(Clip(9.0), SecAgg()))
    step = masked.pipeline.plan(n_clients=3, dim=4).step
    for k, (a, b) in enumerate(zip(plain.rounds(4), masked.rounds(4), strict=True), start=1):
        assert a.release.survivors == b.release.survivors
        gap = np.abs(weights(plain) - weights(masked)).max()
        assert gap <= 2 * k * step  # each round rounds anew, and training draws together
    assert step < 1e-3


# claims


@pytest.mark.parametrize(
    ("options", "rule", "sides", "fix"),
    [
        ({"sampling": FixedSize(size=3)}, "R12", ("FedBuff", "FixedSize"), "out"),
        ({"sampling": Poisson(rate=0.5)}, "R12", ("FedBuff", "Poisson"), "out"),
        (
            {"sampling": PowerOfChoice(candidates=3, size=2)},
            "R12",
            ("FedBuff", "PowerOfChoice"),
            "out",
        ),
        (
            {"pipeline": central(relation="replace-one"), "participations": 3},
            "R12",
            ("FedBuff", "CentralGaussianNoise"),
            "zero-out",
        ),
        (
            {"pipeline": central(relation="add/remove"), "participations": 3},
            "R12",
            ("FedBuff", "CentralGaussianNoise"),
            "zero-out",
        ),
        (
            {
                "pipeline": Pipeline(Clip(1.0), LocalGaussianNoise(1.0, relation="replace-one")),
                "participations": 3,
            },
            "R12",
            ("FedBuff", "LocalGaussianNoise"),
            "zero-out",
        ),
        (
            {"pipeline": central()},
            "R12",
            ("FedBuff", "CentralGaussianNoise"),
            "participations",
        ),
        (
            {"pipeline": central(), "participations": 3, "local": LocalSGD(epochs=2)},
            "R12",
            ("FedBuff", "LocalSGD"),
            "steps",
        ),
        (
            {
                "local": DPSGD(
                    noise_multiplier=1.0, sampling=Poisson(size=2, rate=0.5), relation="add/remove"
                )
            },
            "R12",
            ("FedBuff", "DPSGD"),
            "steps",
        ),
        ({"pipeline": Pipeline(Clip(1.0), CKKS())}, "R9", ("FedBuff", "CKKS"), "published"),
    ],
)
def test_it_refuses_what_the_order_of_arrival_would_tell(options, rule, sides, fix):
    with pytest.raises(CompositionError) as refusal:
        buffered(**options)
    assert refusal.value.rule == rule
    assert tuple(type(part).__name__ for part in refusal.value.parts) == sides
    assert fix in refusal.value.fix


def test_without_a_claim_an_epoch_may_be_the_timetable():
    buffered(2, local=LocalSGD(lr=LR, epochs=2)).round()
    buffered(2, central(), participations=1).round()
    buffered(5, Pipeline(TrimmedMean(n_byzantine=1))).round()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FedBuff(buffer=0), "buffer"),
        (lambda: FedBuff(lr=0.0), "lr"),
        (lambda: FedBuff(participations=0), "participations"),
        (lambda: FedBuff(loss_bound=-1.0), "loss_bound"),
        (lambda: buffered(6), "at most the number of clients, 5"),
    ],
)
def test_bad_numbers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_fast_client_is_capped_and_the_others_fill_its_place():
    fleet = Fleet([Device(speed=1000.0)])
    run = buffered(1, central(), participations=2, fleet=fleet)
    taken = [done.release.survivors[0] for done in run.rounds(10)]
    assert taken[:2] == [0, 0]
    assert Counter(taken) == dict.fromkeys(range(5), 2)
    before = weights(run)
    with pytest.raises(ProtocolAbort, match=r"0 clients .* participations = 2"):
        run.round()
    assert np.array_equal(weights(run), before)
    assert len(run.history) == 10
    free = buffered(1, fleet=fleet)  # the control: without a cap it is in every buffer
    assert all(0 in done.release.survivors for done in free.rounds(10))


def test_a_buffer_that_one_is_missing_from_is_not_made():
    run = buffered(3, participations=1)
    run.round()
    with pytest.raises(ProtocolAbort, match=r"2 clients .* takes 3"):
        run.round()


def by_hand(z, count):
    """Epsilon of ``count`` Gaussians by dp_accounting's own accountant."""
    if not count:
        return 0.0
    event = SelfComposedDpEvent(GaussianDpEvent(z), count)
    return PLDAccountant().compose(event).get_epsilon(DELTA)


@pytest.mark.parametrize("where", ["central", "local"])
def test_the_ledger_charges_a_client_for_the_buffers_it_was_in(tmp_path, where):
    ledger = Ledger(tmp_path / "run.db")
    account = ledger.datasets({k: f"clinic-{k}" for k in range(5)})
    local = Pipeline(Clip(1.0), LocalGaussianNoise(8.0))
    shield = central(4.0) if where == "central" else local
    run = buffered(2, shield, participations=4, ledger=account)
    taken = Counter(who for done in run.rounds(5) for who in done.release.survivors)
    assert (taken[1], taken[2]) == (4, 0)  # the table above: 1 is in four of five
    entries = [entry.fields for entry in ledger.entries if entry.kind == "charge"]
    assert len(entries) == 10
    vantage = "outsider" if where == "central" else "server"
    for who in (0, 1, 3, 4):
        question = {"dataset": f"clinic-{who}", "unit": "client", "vantage": vantage}
        spent = ledger.epsilon(DELTA, relation="zero-out", **question).upper
        assert spent == pytest.approx(by_hand(4.0, taken[who]), rel=1e-3)
    assert {entry["relation"] for entry in entries} == {"zero-out"}
    assert run.history[-1].epsilon == pytest.approx(by_hand(4.0, 4), rel=1e-3)


def test_without_a_ledger_the_history_counts_the_busiest_client():
    run = buffered(2, central(4.0), participations=9)
    expected = [by_hand(4.0, k) for k in (1, 2, 2, 3, 4)]  # of client 1 by the table above
    assert [done.record.epsilon for done in run.rounds(5)] == pytest.approx(expected, rel=1e-3)


def test_a_lost_update_is_charged_too_and_its_client_starts_again():
    """Whether it came is known only after it was asked (rule R12)."""
    run = buffered(2, central(4.0), participations=2, fleet=None)
    done = run.round(drop={0: "upload"})
    assert done.release.survivors == (1,)
    assert run._state["taken"] == {0: 1, 1: 1, 2: 0, 3: 0, 4: 0}
    assert run._state["base"][0] == 1
    assert done.release.denominator == 2


def test_it_goes_on_under_a_fleet_that_loses_some():
    fleet = Fleet([Device(dropout=0.5) for _ in range(5)])
    run = buffered(3, fleet=fleet, generator=Stream.replay(3))
    counts = [len(done.release.survivors) for done in run.rounds(20)]
    assert {1, 2} <= set(counts)
    clocks = [record.clock for record in run.history]
    assert clocks == sorted(clocks)
    assert math.isfinite(clocks[-1])
