"""Simulated machines: who is lost, who gets part of its work done, and what time it is."""

import math
import time

import numpy as np
import pytest
import torch

from learning_for_tests import (
    LR,
    STEPS,
    N,
    Narrow,
    clients,
    federation,
    squares,
    start,
    weights,
)
from oracles import federated as oracle
from privfl import Pipeline
from privfl.crypto import Stream
from privfl.defenses.dp import CentralGaussianNoise, Clip
from privfl.defenses.masking import SecAgg
from privfl.learning import (
    Centralised,
    FedAvg,
    FedBuff,
    FedOpt,
    FedPer,
    FedProx,
    Fleet,
    Gossip,
    HeteroFL,
    HierFAVG,
    LocalSGD,
    PerFedAvg,
    QFedAvg,
    ServerMomentum,
    TogetherSGD,
    ring,
)
from privfl.machines import Machines
from privfl.parts import Mean
from privfl.sampling import Device, FixedSize

FAST = Device(speed=10.0)
DRAWS = 4000


def shares(device, steps=10**9, deadline=None, n=DRAWS):
    fleet = Fleet([device], deadline=deadline)
    stream = Stream.replay(4)
    return np.array([fleet.share(0, steps, stream.child(str(k))) for k in range(n)])


# what a machine gets done


def test_gone_and_straggling_machines_are_as_many_as_declared():
    """Binomial counts, six standard deviations: a sound draw fails below 1e-8 of the time."""
    found = shares(Device(dropout=0.2, straggles=0.3))
    for share, chance in ((found == 0, 0.2), (found == 1, 0.8 * 0.7)):
        spread = math.sqrt(DRAWS * chance * (1 - chance))
        assert share.sum() == pytest.approx(DRAWS * chance, abs=6 * spread)


def test_a_straggler_gets_a_uniform_share_done():
    """Kolmogorov and Smirnov by the bound of Dvoretzky, Kiefer, Wolfowitz: false alarms 1e-6."""
    found = np.sort(shares(Device(straggles=1.0)))
    steps = np.arange(DRAWS + 1) / DRAWS
    gap = max(np.abs(found - steps[1:]).max(), np.abs(found - steps[:-1]).max())
    assert gap < math.sqrt(math.log(2 / 1e-6) / (2 * DRAWS))


@pytest.mark.parametrize(
    ("device", "expected"), [(Device(), 1.0), (Device(dropout=1.0), 0.0), (Device(delay=9.0), 1.0)]
)
def test_a_certain_machine_is_certain(device, expected):
    assert (shares(device, n=200) == expected).all()


@pytest.mark.parametrize(
    ("device", "deadline", "expected"),
    [
        (Device(speed=2.0), 2.5, 0.5),  # 5 of 10 steps
        (Device(speed=2.0, delay=1.0), 2.5, 0.3),
        (Device(speed=2.0), 5.0, 1.0),
        (Device(speed=2.0), 50.0, 1.0),
        (Device(speed=2.0, delay=3.0), 2.5, 0.0),
        (Device(speed=2.0), 0.49, 0.0),  # less than a step is nothing
        (Device(speed=2.0), 0.5, 0.1),
    ],
)
def test_a_deadline_leaves_time_for_some_steps(device, deadline, expected):
    assert shares(device, steps=10, deadline=deadline, n=3) == pytest.approx([expected] * 3)


def test_a_share_is_that_many_steps_also_where_floats_fall_short():
    for steps in (7, 10, 29, 100):
        for done in range(1, steps + 1):
            part = LocalSGD(steps=steps).partly(done / steps, n_records=5)
            assert part.steps == done
    assert LocalSGD(batch_size=4, epochs=3).partly(0.5, n_records=10).steps == 4  # of nine


def test_a_machine_is_found_by_place_or_by_name():
    slow = Device(speed=0.5)
    assert Fleet([slow]).device(0) == slow
    assert Fleet([slow]).device(1) == Fleet([slow]).device("a") == Device()
    assert Fleet({"a": slow}).device("a") == slow
    assert Fleet({"a": slow}).device(0) == Device()
    assert Fleet({0: Device(speed=4.0, delay=1.0)}).seconds(0, 10) == 3.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fleet([1.0]), "Device objects"),
        (lambda: Fleet({"a": 1.0}), "Device objects"),
        (lambda: Fleet(deadline=0.0), "deadline"),
        (lambda: Fleet(deadline=-1.0), "deadline"),
    ],
)
def test_what_is_no_fleet_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# stragglers


SLOW = Fleet({1: Device(speed=0.5), 3: Device(speed=0.25)}, deadline=4.5)  # 3, 2 and 1 steps


def test_fedavg_drops_stragglers():
    run = federation(FedAvg(), fleet=SLOW)
    done = run.round()
    assert done.release.survivors == (0, 2, 4)
    kept = [pair for k, pair in enumerate(clients()) if k in (0, 2, 4)]
    expected = oracle.fedavg(start(), kept, lr=LR, steps=STEPS)
    assert weights(run) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("wrap", [lambda a: a, lambda a: FedOpt(ServerMomentum(momentum=0.0), a)])
@pytest.mark.parametrize("mu", [0.0, 0.7])
def test_fedprox_keeps_their_partial_work(mu, wrap):
    run = federation(wrap(FedProx(mu=mu)), fleet=SLOW)
    done = run.round()
    assert done.release.survivors == (0, 1, 2, 3, 4)
    ends = [
        oracle.local(start(), pair, lr=LR, steps=steps, mu=mu)
        for pair, steps in zip(clients(), (3, 2, 3, 1, 3), strict=True)
    ]
    assert weights(run) == pytest.approx(np.mean(ends, axis=0), abs=1e-12)
    assert done.clock == 4.0  # two steps at .5, one at .25 a second: within the deadline


def test_partial_work_in_a_masked_sum():
    fleet = Fleet({1: Device(speed=0.5), 3: Device(dropout=1.0)}, deadline=4.5)
    run = federation(FedProx(mu=0.0), Pipeline(Clip(9.0), SecAgg()), fleet=fleet)
    done = run.round()
    assert done.release.survivors == (0, 1, 2, 4)
    taken = [(clients()[k], steps) for k, steps in ((0, 3), (1, 2), (2, 3), (4, 3))]
    ends = [oracle.local(start(), pair, lr=LR, steps=steps) for pair, steps in taken]
    assert weights(run) == pytest.approx(np.mean(ends, axis=0), abs=1e-3)


def test_a_training_without_parts_has_no_partial_work():
    def local(model, pair, generator):
        squares(model(pair[0]), pair[1]).backward()
        return model

    fleet = Fleet([Device(straggles=1.0)] * N)  # a function counts as one step: lost, or whole
    run = federation(FedProx(mu=0.1), local=local, fleet=fleet)
    assert run.round().release.survivors == ()


def test_a_lost_client_does_not_train():
    asked = []

    def local(model, pair, generator):
        asked.append(len(pair[1]))
        return model

    federation(FedAvg(), local=local, fleet=Fleet([Device(dropout=1.0)])).round()
    assert asked == [6, 7, 8, 9]


def test_a_machine_is_drawn_once_a_round_and_anew_in_the_next():
    """In all rounds of an edge it is gone or there, and not always the same ones are."""
    fleet = Fleet([Device(dropout=0.5)] * N)
    edges = {"a": [0, 1, 2, 3, 4]}
    run = federation(HierFAVG(edges, edge_rounds=3), fleet=fleet, generator=Stream.replay(1))
    taken = []
    for done in run.rounds(6):
        inside = [release.survivors for release in done.releases[:3]]
        assert inside[0] == inside[1] == inside[2]
        taken.append(inside[0])
    assert len(set(taken)) > 2


@pytest.mark.parametrize("algorithm", [FedAvg(), FedProx(mu=0.0)], ids=["avg", "prox"])
def test_training_together_is_training_one_by_one_under_a_fleet(algorithm):
    ends = []
    for kind in (LocalSGD, TogetherSGD):
        fleet = Fleet([Device(dropout=0.3, straggles=0.4, speed=1.0 + k) for k in range(N)])
        local = kind(lr=LR, batch_size=2, steps=2)  # every batch is full
        run = federation(algorithm, fleet=fleet, local=local, generator=Stream.replay(6))
        list(run.rounds(4))
        ends.append((weights(run), [record.survivors for record in run.history], run.clock))
    assert ends[0][0] == pytest.approx(ends[1][0], abs=1e-6)
    assert ends[0][1:] == ends[1][1:]


# everybody is lost


EVERY = [
    FedAvg(),
    FedProx(mu=0.1),
    QFedAvg(lr=LR),
    PerFedAvg(),
    FedBuff(buffer=2),
    HierFAVG({"a": [0, 1], "b": [2, 3, 4]}, edge_rounds=2),
    Gossip(ring(5)),
    HeteroFL(Narrow, {}, mask_labels=False),
    FedPer(["bias"]),
    FedOpt(ServerMomentum()),
]


@pytest.mark.parametrize("algorithm", EVERY, ids=lambda a: type(a).__name__)
def test_a_round_that_loses_everybody_changes_nothing(algorithm):
    fleet = Fleet([Device(dropout=1.0)] * N, deadline=2.0)
    net = Narrow(1.0) if isinstance(algorithm, HeteroFL) else torch.nn.Linear(4, 1).double()
    run = federation(algorithm, fleet=fleet, net=net)
    before = {name: w.clone() for name, w in run.model.state_dict().items()}
    done = run.round()
    assert done.record.survivors == 0
    for net in (run.model, run.model_of(2)):
        for name, w in net.state_dict().items():
            assert torch.allclose(w, before[name], rtol=0, atol=1e-15)  # a mean of five nodes
    if not isinstance(algorithm, FedBuff | HierFAVG | Gossip):
        assert done.clock == 2.0  # nobody knew before the deadline


def test_nobody_left_under_a_claim_is_a_release_of_noise():
    shield = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.0))
    run = federation(FedAvg(), shield, fleet=Fleet([Device(dropout=1.0)] * N, deadline=2.0))
    done = run.round()
    assert done.release.survivors == ()
    assert (done.release.update != 0).all()
    assert float(done.release.update.abs().max()) < 8 * 1.0 / N * math.sqrt(1.01)
    assert math.isfinite(done.record.epsilon)
    assert done.record.epsilon > 0


# time


SPEEDS = Fleet([Device(speed=s, delay=d) for s, d in ((1, 0), (2, 3), (0.5, 1), (3, 0), (1, 1))])
DONE = [3.0, 4.5, 7.0, 1.0, 4.0]


@pytest.mark.parametrize("algorithm", [FedAvg(), FedProx(), QFedAvg(), PerFedAvg()])
def test_a_round_ends_with_its_slowest_member(algorithm):
    run = federation(algorithm, fleet=SPEEDS)
    assert [done.clock for done in run.rounds(2)] == pytest.approx([7.0, 14.0])
    assert [record.clock for record in run.history] == pytest.approx([7.0, 14.0])


def test_who_is_not_drawn_is_not_waited_for():
    run = federation(FedAvg(), fleet=SPEEDS, sampling=FixedSize(size=2), generator=Stream.replay(0))
    now = 0.0
    for done in run.rounds(6):
        now += max(DONE[who] for who in done.release.survivors)
        assert done.clock == pytest.approx(now)


def test_a_deadline_is_waited_for_where_somebody_is_missing():
    fleet = Fleet(SPEEDS.devices, deadline=5.0)
    assert federation(FedAvg(), fleet=fleet).round().clock == 5.0
    loose = Fleet(SPEEDS.devices, deadline=50.0)
    assert federation(FedAvg(), fleet=loose).round().clock == 7.0


def test_without_a_fleet_a_step_is_a_second():
    assert federation(FedAvg()).round().clock == STEPS
    assert federation(Centralised()).round().clock == STEPS


def test_a_clock_by_hand():
    run = federation(FedAvg(), fleet=Fleet([Device(speed=2.0, delay=0.5)]))
    run.clock = 10.0
    machines = Machines(run, Stream.replay(0))
    assert machines.now == 10.0
    assert machines.meet([0, 1]) == 10.0
    machines.work(0, 6)
    machines.work(0, 2)
    assert machines.now == 14.0
    assert machines.meet([1, 2]) == 10.0
    machines.work(2, 2)
    assert machines.meet([0, 2]) == 14.0
    assert machines.done([0, 2], set(), 14.0) == 14.5
    machines.end([0, 2], 20.0)
    assert (machines.until[1], machines.now) == (10.0, 20.0)


def test_nobody_sleeps(monkeypatch):
    def slept(seconds):
        raise AssertionError(f"slept for {seconds} s")

    monkeypatch.setattr(time, "sleep", slept)
    fleet = Fleet([Device(speed=1e-9, delay=1e9)] * N)
    assert federation(FedAvg(), fleet=fleet).round().clock == pytest.approx(4e9)


@pytest.mark.parametrize("algorithm", EVERY, ids=lambda a: type(a).__name__)
def test_a_seeded_run_repeats_to_the_bit_with_its_machines(algorithm):
    ends = []
    for seed in (3, 3, 4):
        net = Narrow(1.0) if isinstance(algorithm, HeteroFL) else torch.nn.Linear(4, 1).double()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.fill_(0.1)
        fleet = Fleet([Device(dropout=0.2, straggles=0.3)] * N, deadline=10.0)
        local = LocalSGD(lr=LR, batch_size=2, steps=4)
        run = federation(
            algorithm, net=net, fleet=fleet, local=local, generator=Stream.replay(seed)
        )
        list(run.rounds(3))
        flat = torch.cat([w.flatten() for w in run.model_of(1).state_dict().values()])
        ends.append((flat, [(r.survivors, r.clock, r.loss) for r in run.history]))
    assert torch.equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]
    assert not torch.equal(ends[0][0], ends[2][0])
