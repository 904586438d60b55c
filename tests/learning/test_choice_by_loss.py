"""Choosing by loss in a federation: who is chosen, what the question costs, what is refused."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from learning_for_tests import N, clients, federation, line, squares, start, weights
from oracles import federated as oracle
from privfl import CompositionError, Ledger, Pipeline
from privfl.defenses.dp import DPSGD, CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.masking import SecAgg
from privfl.exchange import Exchange
from privfl.learning import FedAvg, FedPer, FedProx
from privfl.parts import Grouped, Mean, Plain
from privfl.sampling import PowerOfChoice
from privfl.updates import mean_loss


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "run.db")


@pytest.fixture
def account(ledger):
    return ledger.datasets({k: f"clinic-{k}" for k in range(N)})


def charges(ledger):
    return [entry.fields for entry in ledger.entries if entry.kind == "charge"]


def largest(w, candidates, size):
    losses = [oracle.loss(w, clients()[k]) for k in candidates]
    order = sorted(range(len(losses)), key=lambda k: -losses[k])
    return sorted(candidates[k] for k in order[:size])


@pytest.mark.parametrize("size", [1, 2, 4])
def test_those_with_the_largest_losses_of_the_model_at_hand_take_part(size):
    run = federation(FedAvg(), sampling=PowerOfChoice(candidates=N, size=size))
    seen, w = set(), start()
    for done in run.rounds(6):
        assert sorted(done.release.survivors) == largest(w, range(N), size)
        seen.add(done.release.survivors)
        w = weights(run)
    assert len(seen) > 1  # the model moves, and so does the choice


def test_of_few_candidates_the_largest_is_chosen_and_all_of_them_are_charged(ledger, account):
    asked = []

    def loss(outputs, y):
        if not torch.is_grad_enabled():
            asked.append((len(y), len(charges(ledger))))
        return squares(outputs, y)

    run = federation(
        FedAvg(), loss=loss, ledger=account, sampling=PowerOfChoice(candidates=3, size=1)
    )
    w, names = start(), {ledger_name(ledger, account, k): k for k in range(N)}
    for k in range(4):
        before = len(charges(ledger))
        done = run.round()
        made = charges(ledger)[before:]
        candidates = sorted(names[entry["dataset"]] for entry in made[:3])
        assert sorted(n for n, _ in asked[3 * k :]) == sorted(
            len(clients()[c][1]) for c in candidates
        )
        assert {written for _, written in asked[3 * k :]} == {before + 3}  # before it was asked
        assert list(done.release.survivors) == largest(w, candidates, 1)
        assert [names[entry["dataset"]] for entry in made[3:]] == list(done.release.survivors)
        assert {entry["event"]["kind"] for entry in made} == {"NonPrivateDpEvent"}
        assert {"losses" in entry["pipeline"] for entry in made[:3]} == {True}
        w = weights(run)
    for who in range(N):
        spent = ledger.epsilon(1e-5, dataset=f"clinic-{who}").upper
        assert spent in (0.0, math.inf)
    assert math.isinf(run.history[-1].epsilon)


def ledger_name(ledger, account, k):
    """Return the identity under which the ledger writes a client's dataset."""
    before = len(charges(ledger))
    account.reserve({k: ()}, pipeline="to learn its name")
    (entry,) = charges(ledger)[before:]
    return entry["dataset"]


def test_asking_leaves_the_model_as_it_was():
    """Running statistics and modes too: a loss is taken in evaluation."""
    net = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1)).double()
    before = {name: w.clone() for name, w in net.state_dict().items()}
    modes = []

    def loss(outputs, y):
        modes.append(torch.is_grad_enabled())
        return squares(outputs, y)

    def local(model, pair, generator):
        assert all(module.training for module in model.modules())
        assert all(torch.equal(w, before[name]) for name, w in model.state_dict().items())
        return model

    run = federation(
        FedAvg(), net=net, loss=loss, local=local, sampling=PowerOfChoice(candidates=5, size=2)
    )
    run.round()
    assert modes == [False] * 5


NOISE = CentralGaussianNoise(1.0)


@pytest.mark.parametrize(
    ("pipeline", "local", "rule", "side"),
    [
        (Pipeline(Clip(1.0), Mean(), NOISE), None, "R12", "CentralGaussianNoise"),
        (Pipeline(Clip(1.0), LocalGaussianNoise(1.0)), None, "R12", "LocalGaussianNoise"),
        (
            Pipeline(),
            DPSGD(noise_multiplier=1.0, batch_size=2, steps=1),
            "R12",
            "DPSGD",
        ),
        (
            Pipeline(DPSGD(noise_multiplier=1.0, batch_size=2, steps=1)),
            None,
            "R12",
            "DPSGD",
        ),
        (Pipeline(Clip(1.0), SecAgg()), None, "R7", "SecAgg"),
        (Pipeline(Clip(1.0), Grouped(SecAgg(), size=2)), None, "R7", "Grouped"),
    ],
    ids=lambda value: None,
)
def test_it_is_refused_where_something_is_hidden(pipeline, local, rule, side):
    options = {} if local is None else {"local": local}
    with pytest.raises(CompositionError) as refusal:
        federation(FedAvg(), pipeline, sampling=PowerOfChoice(candidates=3, size=2), **options)
    assert refusal.value.rule == rule
    assert [type(part).__name__ for part in refusal.value.parts] == ["PowerOfChoice", side]
    assert "FixedSize" in refusal.value.fix


def test_where_everything_is_shown_it_is_not():
    choice = PowerOfChoice(candidates=3, size=2)
    federation(FedProx(mu=0.1), Pipeline(Clip(1.0), Plain()), sampling=choice).round()


def test_a_loss_that_is_no_number_does_not_choose_its_client():
    data = clients()
    data[2] = (data[2][0], data[2][1] * np.nan)
    run = federation(FedAvg(), sampling=PowerOfChoice(candidates=N, size=N - 1))
    run.datasets = {k: tuple(map(torch.from_numpy, pair)) for k, pair in enumerate(data)}
    assert 2 not in run.round().release.survivors


def test_a_loss_is_that_of_the_model_as_it_is_used():
    """In evaluation, without dropout; and each client is asked for the model that it uses."""
    net = nn.Sequential(nn.Dropout(0.9), line())
    run = federation(FedAvg(), net=net, sampling=PowerOfChoice(5, 2))
    exchange = Exchange(run, 0, {}, None)
    expected = [oracle.loss(start(), data) for data in clients()]
    assert exchange.losses_of(run.members) == pytest.approx(expected, abs=1e-12)


def test_personal_layers_are_part_of_the_loss_that_chooses():
    run = federation(FedPer(["head"]), net=Headed(), sampling=PowerOfChoice(5, 5))
    run.round()
    exchange = Exchange(run, 1, {}, None)
    own = [mean_loss(run.model_of(who), run.datasets[who], squares) for who in run.members]
    common = [mean_loss(run.model, run.datasets[who], squares) for who in run.members]
    assert exchange.losses_of(run.members) == pytest.approx(own)
    assert own != pytest.approx(common)


class Headed(nn.Module):
    """A linear body of four numbers and a linear head."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 4).double(), nn.Linear(4, 1).double()
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(0.1)

    def forward(self, x):
        return self.head(self.body(x))
