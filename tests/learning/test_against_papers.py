"""Each algorithm does on least squares what its paper says, computed apart."""

import numpy as np
import pytest
import torch

from learning_for_tests import (
    DIM,
    LR,
    SIZES,
    STEPS,
    Narrow,
    clients,
    federation,
    line,
    squares,
    start,
    weights,
)
from oracles import federated as oracle
from privfl import Pipeline
from privfl.defenses.dp import Clip
from privfl.learning import (
    Centralised,
    FedAvg,
    FedBuff,
    FedOpt,
    FedProx,
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
    complete,
    contraction,
    metropolis,
    ring,
)
from privfl.parts import Plain
from privfl.sampling import Device

KNOWN = {"lr": LR, "steps": STEPS}


def after(run, rounds=1):
    for _ in run.rounds(rounds):
        pass
    return weights(run)


@pytest.mark.parametrize("mu", [0.0, 0.3, 5.0])
def test_fedprox_pulls_back_to_the_common_weights(mu):
    w = start()
    for _ in range(2):
        w = oracle.fedavg(w, clients(), **KNOWN, mu=mu)
    assert after(federation(FedProx(mu=mu)), 2) == pytest.approx(w, abs=1e-12)


def test_fedprox_reaches_a_users_own_training():
    def own(model, data, generator):
        optimizer = torch.optim.SGD(model.parameters(), LR)
        for _ in range(STEPS):
            optimizer.zero_grad()
            squares(model(data[0]), data[1]).backward()
            optimizer.step()
        return model

    w = oracle.fedavg(start(), clients(), **KNOWN, mu=0.7)
    assert after(federation(FedProx(mu=0.7), local=own)) == pytest.approx(w, abs=1e-12)


def test_fedprox_refuses_a_training_that_its_term_never_reaches():
    with pytest.raises(ValueError, match="never reached"):
        federation(FedProx(mu=0.7), local=lambda model, data, generator: model).round()


@pytest.mark.parametrize("q", [0.0, 0.5, 1.0, 2.0])
def test_qfedavg_divides_both_sums(q):
    w = start()
    for _ in range(2):
        w = oracle.qfedavg(w, clients(), **KNOWN, q=q)
    run = federation(QFedAvg(q=q, lr=LR, h_bound=1e6))
    assert after(run, 2) == pytest.approx(w, abs=1e-6)  # h is a float of 32 bits in no place


def test_qfedavg_keeps_the_denominator_above_its_floor():
    run = federation(QFedAvg(q=0, lr=LR, h_least=4.0))
    move = oracle.fedavg(start(), clients(), **KNOWN) - start()
    assert after(run) == pytest.approx(start() + move / 4, abs=1e-12)


def test_perfedavg_looks_one_step_ahead():
    w = oracle.perfedavg(start(), clients(), alpha=0.02, beta=LR, steps=STEPS)
    assert after(federation(PerFedAvg(alpha=0.02))) == pytest.approx(w, abs=1e-12)


def test_perfedavg_hands_a_client_its_own_step():
    algorithm, net = PerFedAvg(alpha=0.02), line()
    data = clients()[0]
    algorithm.adapted(net, tuple(map(torch.from_numpy, data)), squares)
    expected = oracle.local(start(), data, lr=0.02, steps=1)
    assert net.weight.detach().numpy()[0] == pytest.approx(expected, abs=1e-12)


def test_perfedavg_draws_two_batches_for_a_step():
    """With batches of one, the inner and the outer batch are drawn apart."""
    one = LocalSGD(lr=LR, batch_size=1, steps=1)
    w, seen = start(), set()
    x, y = clients(1)[0]
    ends = {
        (i, j): w - LR * oracle.slope(w - 0.5 * oracle.slope(w, (x[[i]], y[[i]])), (x[[j]], y[[j]]))
        for i in range(len(y))
        for j in range(len(y))
    }
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        got = after(federation(PerFedAvg(alpha=0.5), n=1, local=one, generator=generator))
        (pair,) = [p for p, end in ends.items() if np.allclose(got, end, atol=1e-9)]
        seen.add(pair)
    assert any(i != j for i, j in seen)


@pytest.mark.parametrize("widths", [(4, 4, 4, 4, 4), (4, 2, 1, 2, 3), (2, 2, 1, 1, 2)])
def test_heterofl_averages_each_coordinate_over_its_owners(widths):
    named = {k: width / DIM for k, width in enumerate(widths)}
    algorithm = HeteroFL(Narrow, named, mask_labels=False)
    w = start()
    for _ in range(2):
        w = oracle.heterofl(w, clients(), widths, **KNOWN)
    assert after(federation(algorithm, net=Narrow(1.0)), 2) == pytest.approx(w, abs=1e-12)


def test_a_client_of_heterofl_uses_its_block():
    run = federation(HeteroFL(Narrow, {1: 0.5}, mask_labels=False), net=Narrow(1.0))
    run.round()
    assert torch.equal(run.model_of(1).weight, run.model.weight[:, :2])
    assert torch.equal(run.model_of(0).weight, run.model.weight)


SPEEDS = [1.0, 3.0, 0.5, 2.0, 1.5]


@pytest.mark.parametrize("buffer", [1, 2, 3, 5])
@pytest.mark.parametrize("server_lr", [1.0, 0.5])
def test_fedbuff_counts_stale_updates_for_less(buffer, server_lr):
    fleet = Fleet([Device(speed=speed, delay=0.25) for speed in SPEEDS])
    seconds = [0.25 + STEPS / speed for speed in SPEEDS]
    w, times = oracle.fedbuff(
        start(), clients(), seconds, **KNOWN, buffer=buffer, rounds=7, server_lr=server_lr
    )
    run = federation(FedBuff(buffer=buffer, lr=server_lr), fleet=fleet)
    clocks = [done.clock for done in run.rounds(7)]
    assert weights(run) == pytest.approx(w, abs=1e-12)
    assert clocks == pytest.approx(times)


PATH = metropolis(5, [(0, 1), (1, 2), (2, 3), (3, 4)])


@pytest.mark.parametrize("mixing", [ring(5), complete(5), PATH], ids=["ring", "complete", "path"])
def test_gossip_averages_neighbours_and_steps_from_its_own(mixing):
    ws = [start()] * 5
    for _ in range(3):
        ws = oracle.dpsgd(ws, clients(), mixing, **KNOWN)
    run = federation(Gossip(mixing))
    for _ in run.rounds(3):
        pass
    for k, w in enumerate(ws):
        assert run.model_of(k).weight.detach().numpy()[0] == pytest.approx(w, abs=1e-12)
    assert weights(run) == pytest.approx(np.mean(ws, axis=0), abs=1e-12)


def still(model, data, generator):
    return model


def gossiping(mixing, models, pipeline=None):
    """A federation whose nodes hold ``models`` (n, d), and do not learn."""
    run = federation(Gossip(mixing), pipeline, n=len(models), local=still)
    held = {k: {"weight": torch.from_numpy(w[None].copy())} for k, w in enumerate(models)}
    run._state = {**run._state, "models": held}
    return run


def models_of(run, n):
    return np.array([run.model_of(k).weight.detach().numpy()[0] for k in range(n)])


@pytest.mark.parametrize("n", [3, 4, 5])
def test_on_a_ring_the_error_falls_by_the_second_eigenvalue(n):
    values, vectors = np.linalg.eigh(np.array(ring(n)))
    order = np.argsort(-np.abs(values))
    factor = np.abs(values[order[1]])
    assert contraction(ring(n)) == pytest.approx(factor, abs=1e-12)
    rng = np.random.default_rng(n)
    for trial in range(3):
        models = rng.normal(size=(n, DIM))
        if trial == 0:  # nothing but the slowest direction: equality
            models = np.outer(vectors[:, order[1]], rng.normal(size=DIM)) + 3.0
        before = np.linalg.norm(models - models.mean(axis=0))
        run = gossiping(ring(n), models)
        run.round()
        left = models_of(run, n)
        error = np.linalg.norm(left - left.mean(axis=0))
        assert left.mean(axis=0) == pytest.approx(models.mean(axis=0), abs=1e-12)
        assert error <= factor * before + 1e-12
        if trial == 0:
            assert error == pytest.approx(factor * before, abs=1e-12)


@pytest.mark.parametrize("tau", [0.1, 1.0, 100.0])
def test_a_clip_behind_plain_is_self_centred_clipping(tau):
    models = np.random.default_rng(1).normal(size=(5, DIM)) * 2
    run = gossiping(ring(5), models, Pipeline(Plain(), Clip(tau)))
    run.round()
    assert models_of(run, 5) == pytest.approx(oracle.self_centred(models, ring(5), tau), abs=1e-9)


def test_one_far_node_moves_its_neighbours_by_no_more_than_the_clip():
    models = np.zeros((5, DIM))
    models[2] = 1e9
    run = gossiping(ring(5), models, Pipeline(Plain(), Clip(0.3)))
    run.round()
    left = models_of(run, 5)
    assert np.linalg.norm(left[1]) <= 0.1 + 1e-9
    assert np.linalg.norm(left[3]) <= 0.1 + 1e-9
    bare = gossiping(ring(5), models)  # the control: without a clip it is carried away
    bare.round()
    assert np.linalg.norm(models_of(bare, 5)[1]) > 1e8


@pytest.mark.parametrize("edge_rounds", [1, 3])
def test_hierfavg_averages_at_edges_and_then_over_them(edge_rounds):
    data = clients()
    edges = {"north": [0, 3], "south": [1, 2, 4]}
    w = oracle.hierfavg(
        start(),
        [[data[k] for k in who] for who in edges.values()],
        **KNOWN,
        edge_rounds=edge_rounds,
    )
    run = federation(HierFAVG(edges, edge_rounds=edge_rounds))
    assert after(run) == pytest.approx(w, abs=1e-12)


def test_centralised_trains_on_the_pool():
    data = clients()
    pool = np.concatenate([x for x, _ in data]), np.concatenate([y for _, y in data])
    expected = oracle.local(start(), pool, **KNOWN)
    assert after(federation(Centralised())) == pytest.approx(expected, abs=1e-12)


RULES = [
    ("adam", ServerAdam(lr=0.3, beta_1=0.8, beta_2=0.9, tau=0.01)),
    ("yogi", ServerYogi(lr=0.3, beta_1=0.8, beta_2=0.9, tau=0.01)),
    ("adagrad", ServerAdagrad(lr=0.3, beta_1=0.8, tau=0.01)),
]


@pytest.mark.parametrize(("kind", "optimizer"), RULES, ids=[kind for kind, _ in RULES])
def test_server_optimisers_step_as_algorithm_2(kind, optimizer):
    deltas = np.random.default_rng(2).normal(size=(6, 3))
    deltas[3] = 0.0
    memory, x = {}, torch.zeros(3, dtype=torch.float64)
    for delta in deltas:
        memory, step = optimizer.step(memory, torch.from_numpy(delta))
        x = x + step
    expected = oracle.adaptive(kind, deltas, lr=0.3, beta_1=0.8, beta_2=0.9, tau=0.01)
    assert x.numpy() == pytest.approx(expected, abs=1e-12)


def test_momentum_keeps_what_fades():
    run = federation(FedOpt(ServerMomentum(lr=0.5, momentum=0.9)))
    w, m = start(), 0.0
    for _ in range(3):
        m = 0.9 * m + oracle.fedavg(w, clients(), **KNOWN) - w
        w = w + 0.5 * m
    assert after(run, 3) == pytest.approx(w, abs=1e-12)


EQUALS_FEDAVG = [
    FedProx(mu=0),
    QFedAvg(q=0, lr=LR),
    HeteroFL(Narrow, {}, mask_labels=False),
    FedBuff(buffer=len(SIZES)),
    HierFAVG({"a": [0, 1], "b": [2, 3, 4]}),
    FedOpt(ServerMomentum(lr=1.0, momentum=0.0)),
    FedOpt(ServerMomentum(lr=1.0, momentum=0.0), FedBuff(buffer=len(SIZES))),
    Gossip(complete(len(SIZES))),
]


@pytest.mark.parametrize("algorithm", EQUALS_FEDAVG, ids=lambda a: type(a).__name__)
def test_it_is_fedavg_in_its_neutral_setting(algorithm):
    """Over three rounds, with minibatches and a seed; gossip on one round, from one model."""
    rounds = 1 if isinstance(algorithm, Gossip) else 3
    local = LocalSGD(lr=LR, batch_size=2, epochs=2)
    net = Narrow(1.0) if isinstance(algorithm, HeteroFL) else line()
    plain = federation(FedAvg(), local=LocalSGD(lr=LR, batch_size=1000, steps=3))
    other = federation(algorithm, net=net, local=LocalSGD(lr=LR, batch_size=1000, steps=3))
    assert after(other, rounds) == pytest.approx(after(plain, rounds), abs=1e-12)
    if isinstance(algorithm, FedProx | QFedAvg | FedOpt):
        seeds = [torch.Generator().manual_seed(5) for _ in range(2)]
        plain = federation(FedAvg(), local=local, generator=seeds[0])
        other = federation(algorithm, local=local, generator=seeds[1])
        assert after(other, 3) == pytest.approx(after(plain, 3), abs=1e-12)


def test_fedprox_without_its_term_is_fedavg_to_the_bit():
    runs = [
        federation(a, local=LocalSGD(lr=LR, batch_size=2), generator=torch.Generator())
        for a in (FedAvg(), FedProx(mu=0))
    ]
    assert np.array_equal(after(runs[0], 3), after(runs[1], 3))


def test_a_server_optimiser_steps_by_weights_and_not_by_running_statistics():
    """They are averages: an adaptive step would throw a mean off and make a variance negative."""
    ends = []
    for algorithm in (FedAvg(), FedOpt(ServerAdam(lr=0.5))):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.BatchNorm1d(DIM), torch.nn.Linear(DIM, 1)).double()
        run = federation(algorithm, net=net)
        run.round()
        ends.append(run.model[0])
    assert torch.allclose(ends[0].running_mean, ends[1].running_mean)
    assert torch.allclose(ends[0].running_var, ends[1].running_var)
    assert not torch.allclose(ends[0].weight, ends[1].weight)
