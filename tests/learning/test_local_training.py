"""Local training: batches, steps, what a client reports, and what clients share by accident."""

import numpy as np
import pytest
import torch
from torch import nn

from learning_for_tests import LR, clients, federation, line, squares, start, weights
from oracles import federated as oracle
from privfl import CompositionError, Federation, Pipeline
from privfl.crypto import Stream
from privfl.defenses.dp import DPSGD, Clip
from privfl.learning import (
    Centralised,
    FedAvg,
    FedOpt,
    FedProx,
    FedRep,
    Gossip,
    HeteroFL,
    LocalSGD,
    PerFedAvg,
    ServerMomentum,
    TogetherSGD,
    ring,
)
from privfl.parts import Weigh


def drawn(trainer, n, seed=0):
    return trainer.batches(n, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n", "size", "epochs"), [(10, 3, 1), (10, 3, 4), (9, 3, 2), (2, 5, 3)])
def test_every_epoch_goes_over_all_examples_once(n, size, epochs):
    trainer = LocalSGD(batch_size=size, epochs=epochs)
    batches = drawn(trainer, n)
    a_pass = -(-n // size)
    assert len(batches) == trainer.n_steps(n) == epochs * a_pass
    orders = []
    for k in range(epochs):
        rows = torch.cat(batches[k * a_pass : (k + 1) * a_pass]).tolist()
        assert sorted(rows) == list(range(n))
        orders.append(rows)
    if n == 10 and epochs == 4:
        assert len(set(map(tuple, orders))) > 1  # shuffled anew: four alike have a chance of 10!^-3


def test_steps_go_on_through_epochs_and_stop_in_the_middle_of_one():
    batches = drawn(LocalSGD(batch_size=3, steps=7, epochs=99), 10)
    assert [len(batch) for batch in batches] == [3, 3, 3, 1, 3, 3, 3]


def test_momentum_and_the_reported_loss_are_those_of_the_textbook():
    data = clients()[0]
    w, velocity, losses = start(), 0.0, []
    for _ in range(4):
        losses.append(oracle.loss(w, data))
        velocity = 0.9 * velocity + oracle.slope(w, data)
        w = w - LR * velocity
    net = line()
    local = LocalSGD(lr=LR, batch_size=99, steps=4, momentum=0.9)
    pair = tuple(map(torch.from_numpy, data))
    trained = local.train(net, pair, squares, Stream.replay(0))
    assert net.weight.detach().numpy()[0] == pytest.approx(w, abs=1e-12)
    assert trained.scalars == {"loss": pytest.approx(np.mean(losses))}


def test_a_gradient_that_one_client_left_reaches_no_other():
    """A user's own function may forget to clear it."""

    def local(model, pair, generator):
        squares(model(pair[0]), pair[1]).backward()
        with torch.no_grad():
            model.weight -= LR * model.weight.grad
        return model

    expected = oracle.fedavg(start(), clients(), lr=LR, steps=1)
    run = federation(FedAvg(), local=local)
    run.round()
    assert weights(run) == pytest.approx(expected, abs=1e-12)
    wide = HeteroFL(lambda width: line(), {}, mask_labels=False)
    run = federation(wide, local=local)
    run.round()
    assert weights(run) == pytest.approx(expected, abs=1e-12)


def test_clients_draw_batches_of_their_own_and_each_round_anew():
    seen = []

    def local(model, pair, generator):
        seen.append(torch.rand(1, generator=generator).item())
        return model

    list(federation(FedAvg(), local=local, generator=Stream.replay(0)).rounds(3))
    assert len(set(seen)) == len(seen) == 15


def test_modes_of_the_model_are_those_in_which_it_was_handed_over():
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).double()
    net[1].eval()
    seen = []

    def local(model, pair, generator):
        seen.append([module.training for module in model.modules()])
        model.eval()
        return model

    federation(FedAvg(), net=net, local=local).round()
    assert seen == [[True, True, False, True]] * 5


def test_perfedavg_adapts_what_is_trained_only():
    net = nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 1)).double()
    net[0].weight.requires_grad_(False)
    before = {name: w.clone() for name, w in net.state_dict().items()}
    pair = tuple(map(torch.from_numpy, clients()[0]))
    assert PerFedAvg(alpha=0.1).adapted(net, pair, squares) is net
    moved = {name for name, w in net.state_dict().items() if not torch.equal(w, before[name])}
    assert moved == {"0.bias", "1.weight", "1.bias"}


@pytest.mark.parametrize(
    ("algorithm", "options", "rule", "sides"),
    [
        (FedProx(mu=0.1), {"local": TogetherSGD(steps=2)}, "R33", ("FedProx", "TogetherSGD")),
        (
            FedProx(mu=0.1),
            {"local": DPSGD(noise_multiplier=1.0, batch_size=2, steps=1)},
            "R33",
            ("FedProx", "DPSGD"),
        ),
        (PerFedAvg(), {"local": TogetherSGD(steps=2)}, "R33", ("PerFedAvg", "TogetherSGD")),
        (
            FedRep(["weight"]),
            {"local": DPSGD(noise_multiplier=1.0, batch_size=2, steps=1), "net": None},
            "R33",
            ("FedRep", "DPSGD"),
        ),
        (FedOpt(ServerMomentum(), Gossip(ring(5))), {}, "R33", ("FedOpt", "Gossip")),
        (FedOpt(ServerMomentum(), Centralised()), {}, "R33", ("FedOpt", "Centralised")),
        (FedOpt(ServerMomentum(), FedOpt(ServerMomentum())), {}, "R33", ("FedOpt", "FedOpt")),
        (Centralised(), {"pipeline": Pipeline(Clip(1.0))}, "R33", ("Centralised", "Clip")),
        (
            Centralised(),
            {"local": DPSGD(noise_multiplier=1.0, batch_size=2, steps=1)},
            "R33",
            ("Centralised", "DPSGD"),
        ),
        (
            HeteroFL(lambda width: line(), {}, mask_labels=False),
            {"pipeline": Pipeline(Weigh(9))},
            "R2",
            ("HeteroFL", "Weigh"),
        ),
    ],
    ids=lambda value: None,
)
def test_training_that_an_algorithm_does_not_go_with_is_refused(algorithm, options, rule, sides):
    if "net" in options:
        options = options | {"net": nn.Linear(4, 1).double()}
    with pytest.raises(CompositionError) as refusal:
        federation(algorithm, **options)
    assert refusal.value.rule == rule
    assert tuple(type(part).__name__ for part in refusal.value.parts) == sides


@pytest.mark.parametrize("name", ["nobody", "pool"])
def test_names_that_stand_for_something_are_no_clients(name):
    pair = tuple(map(torch.from_numpy, clients()[0]))
    with pytest.raises(ValueError, match=name):
        Federation(line(), {name: pair}, Pipeline(), loss=squares)
