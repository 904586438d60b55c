"""A run that was stopped and taken up again is the run that never stopped, to the bit."""

import pytest
import torch
from torch import nn

from learning_for_tests import LR, N, clients, squares
from privfl import Federation, Pipeline
from privfl.crypto import Stream
from privfl.defenses.dp import AdaptiveClip, CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.learning import (
    Centralised,
    FedAvg,
    FedBuff,
    FedOpt,
    FedPer,
    FedProx,
    FedRep,
    Fleet,
    Gossip,
    HeteroFL,
    HierFAVG,
    LocalSGD,
    PerFedAvg,
    QFedAvg,
    ServerAdagrad,
    ServerAdam,
    ServerMomentum,
    ServerYogi,
    ring,
)
from privfl.parts import Mean
from privfl.sampling import Device, FixedSize, PowerOfChoice, Shuffled

CENTRAL = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.0))
ADAPTIVE = Pipeline(AdaptiveClip(share=0.1), Mean(), CentralGaussianNoise(1.0))
EDGES = {"a": [0, 1], "b": [2, 3, 4]}


def net(width=1.0):
    made = nn.Sequential(nn.Linear(4, int(4 * width)), nn.Tanh(), nn.Linear(int(4 * width), 1))
    with torch.no_grad():
        for k, parameter in enumerate(made.parameters()):
            ramp = torch.linspace(-1, 1, parameter.numel()) + 0.1 * k
            parameter.copy_(ramp.view(parameter.shape))
    return made.double()


TABLE = {
    "fedavg": (FedAvg(), Pipeline(), {}),
    "fedavg, noise": (FedAvg(), CENTRAL, {}),
    "fedavg, adaptive clip": (FedAvg(), ADAPTIVE, {}),
    "fedavg, draws": (FedAvg(), Pipeline(), {"sampling": FixedSize(size=3)}),
    "fedavg, half a pass": (FedAvg(), Pipeline(), {"sampling": Shuffled(size=2)}),
    "fedavg, by loss": (FedAvg(), Pipeline(), {"sampling": PowerOfChoice(candidates=3, size=2)}),
    "fedprox": (FedProx(mu=0.1), Pipeline(), {}),
    "qfedavg": (QFedAvg(lr=LR), CENTRAL, {}),
    "perfedavg": (PerFedAvg(), Pipeline(), {}),
    "fedbuff": (FedBuff(buffer=2), Pipeline(), {}),
    "fedbuff, noise": (FedBuff(buffer=2, participations=3), CENTRAL, {}),
    "fedper": (FedPer(["2"]), Pipeline(), {}),
    "fedrep": (FedRep(["2"]), CENTRAL, {}),
    "heterofl": (HeteroFL(net, {0: 0.5, 3: 0.25}, mask_labels=False), CENTRAL, {}),
    "hierfavg": (HierFAVG(EDGES, edge_rounds=2), CENTRAL, {}),
    "gossip": (Gossip(ring(N)), Pipeline(), {}),
    "gossip, noise": (Gossip(ring(N)), Pipeline(Clip(1.0), LocalGaussianNoise(1.0)), {}),
    "centralised": (Centralised(), Pipeline(), {}),
    "adam": (FedOpt(ServerAdam(lr=0.1)), Pipeline(), {}),
    "yogi": (FedOpt(ServerYogi(lr=0.1)), Pipeline(), {}),
    "adagrad": (FedOpt(ServerAdagrad(lr=0.1)), Pipeline(), {}),
    "momentum": (FedOpt(ServerMomentum(), FedBuff(buffer=2)), Pipeline(), {}),
    "momentum of bodies": (FedOpt(ServerMomentum(), FedPer(["2"])), Pipeline(), {}),
}


def options_of(name):
    algorithm, pipeline, more = TABLE[name]
    devices = [Device(speed=1.0 + k, delay=0.5, dropout=0.1, straggles=0.2) for k in range(N)]
    whole = {"local": LocalSGD(lr=LR, batch_size=2, steps=3), "fleet": Fleet(devices, deadline=9.0)}
    return pipeline, {"loss": squares, "algorithm": algorithm, **whole, **more}


def data():
    return [tuple(map(torch.from_numpy, pair)) for pair in clients()]


def end(run):
    flat = [w.flatten() for who in range(N) for w in run.model_of(who).state_dict().values()]
    common = [w.flatten() for w in run.model.state_dict().values()]
    rows = [(r.round, r.loss, r.survivors, r.epsilon, r.clock) for r in run.history]
    return torch.cat(flat + common), rows, run.clock


@pytest.mark.parametrize("name", TABLE)
def test_going_on_from_a_checkpoint_is_never_having_stopped(name, tmp_path):
    pipeline, options = options_of(name)
    straight = Federation(net(), data(), pipeline, generator=Stream.replay(9), **options)
    list(straight.rounds(5))
    half = Federation(net(), data(), pipeline, generator=Stream.replay(9), **options)
    list(half.rounds(2))
    half.save(tmp_path / "half")
    begun = end(half)[0]
    again = Federation.resume(tmp_path / "half", net(), data(), pipeline, **options)
    assert torch.equal(end(again)[0], begun)
    list(again.rounds(3))
    for found, expected in zip(end(again)[1:], end(straight)[1:], strict=True):
        assert found == expected
    assert torch.equal(end(again)[0], end(straight)[0])
    assert not torch.equal(begun, end(straight)[0])


def test_another_generator_is_another_run(tmp_path):
    pipeline, options = options_of("fedavg, noise")
    run = Federation(net(), data(), pipeline, generator=Stream.replay(9), **options)
    run.round()
    run.save(tmp_path / "one")
    ends = []
    for generator in ({}, {"generator": Stream.replay(10)}, {"generator": None}):
        again = Federation.resume(tmp_path / "one", net(), data(), pipeline, **options, **generator)
        again.round()
        ends.append(end(again)[0])
    assert not any(torch.equal(a, b) for a in ends for b in ends if a is not b)
