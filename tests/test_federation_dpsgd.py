"""DP-SGD inside the clients of a federation: records are hidden, and charged client by client."""

import math

import pytest
import torch
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, get_epsilon_gaussian
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from privfl import Budget, CompositionError, Federation, Layout, Ledger, Pipeline, make_private
from privfl.accounting import epsilon_of
from privfl.core import weights_hash
from privfl.defenses.dp import DPSGD, CentralGaussianNoise, Clip
from privfl.learning import LocalSGD
from privfl.parts import Mean, Weigh
from privfl.sampling import Poisson

DELTA = 1e-5
SIZES = (40, 80, 160)
LOCAL = DPSGD(lr=0.5, noise_multiplier=1.0, batch_size=8, steps=3)
CENTRAL = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(4.0))


def data():
    g = torch.Generator().manual_seed(1)
    return [(torch.randn(n, 4, generator=g), torch.randint(3, (n,), generator=g)) for n in SIZES]


def federation(pipeline=None, **options):
    options = {"loss": nn.functional.cross_entropy, "local": LOCAL} | options
    model = options.pop("model", nn.Linear(4, 3))
    return Federation(model, data(), pipeline or Pipeline(), **options)


def expected(size: int, rounds: int) -> float:
    event = PoissonSampledDpEvent(8 / size, GaussianDpEvent(1.0))
    return epsilon_of(event, DELTA, count=3 * rounds).upper


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "run.db")


@pytest.fixture
def account(ledger):
    return ledger.datasets({k: f"clinic-{k}" for k in range(3)})


@pytest.mark.parametrize("place", ["local", "first in line"])
def test_every_client_is_charged_its_own_steps_at_its_own_rate(ledger, account, place):
    if place == "local":
        run = federation(ledger=account)
    else:
        run = federation(Pipeline(LOCAL), local=None, ledger=account)
    list(run.rounds(2))
    for k, size in enumerate(SIZES):
        spent = ledger.epsilon(DELTA, dataset=f"clinic-{k}")
        assert spent.upper == pytest.approx(expected(size, 2), rel=1e-6)
    assert {e.fields["vantage"][0] for e in ledger.entries if e.kind == "charge"} == {"server"}
    assert {e.fields["n_units"] for e in ledger.entries if e.kind == "charge"} == set(SIZES)


def test_the_history_shows_the_client_it_is_worst_for(account):
    for options in ({}, {"ledger": account}):
        run = federation(**options)
        list(run.rounds(2))
        record = run.history[-1]
        assert (record.unit, record.against) == ("record", "server")
        assert record.epsilon == pytest.approx(expected(40, 2), rel=1e-6)


def test_the_loop_stops_when_the_worst_client_is_spent(ledger, account):
    budget = Budget(epsilon=expected(40, 3) + 1e-6, delta=DELTA)
    assert len(list(federation(ledger=account).rounds(50, budget=budget))) == 3


def test_the_training_is_named_in_the_ledger(ledger, account):
    federation(ledger=account).round()
    assert {e.fields["pipeline"] for e in ledger.entries if e.kind == "charge"} == {
        f"{LOCAL!r}, Pipeline()"
    }


def test_a_client_as_a_whole_is_not_hidden(ledger, account):
    federation(ledger=account).round()
    assert ledger.epsilon(DELTA, dataset="clinic-0", unit="client").upper == math.inf


def test_with_central_noise_records_and_clients_are_stated_side_by_side(ledger, account):
    run = federation(CENTRAL, ledger=account)
    list(run.rounds(2))
    question = {"dataset": "clinic-0", "relation": "zero-out", "vantage": "outsider"}
    client = ledger.epsilon(DELTA, unit="client", **question).upper
    record = ledger.epsilon(DELTA, unit="record", **question).upper
    assert client == pytest.approx(get_epsilon_gaussian(4 / math.sqrt(2), DELTA), rel=1e-6)
    assert record == pytest.approx(expected(40, 2), rel=1e-6)  # neither added to the other
    assert run.history[-1].unit == "client"


def test_client_level_rounds_count_towards_records_too(ledger, account):
    """One round of the one, one of the other: across releases they add up."""
    federation(ledger=account).round()
    federation(CENTRAL, local=LocalSGD(steps=1), ledger=account).round()
    question = {"dataset": "clinic-0", "relation": "zero-out", "vantage": "outsider"}
    record = ledger.epsilon(DELTA, unit="record", **question).upper
    assert record > max(expected(40, 1), get_epsilon_gaussian(4.0, DELTA))


def test_no_loss_leaves_a_client(account):
    run = federation()
    assert run.round().metrics == {}
    assert run.history[0].loss is None


def test_running_statistics_are_refused():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    with pytest.raises(CompositionError) as refusal:
        federation(model=model)
    assert refusal.value.rule == "R1"
    local = Layout.of(model, statistics="local")
    with pytest.raises(ValueError, match="BatchNorm"):
        federation(model=model, layout=local).round()


def test_example_counts_are_refused_where_their_number_is_private():
    draw = Poisson(size=8, rate=0.1)
    add = DPSGD(noise_multiplier=1.0, steps=1, sampling=draw, relation="add/remove")
    with pytest.raises(CompositionError) as refusal:
        federation(Pipeline(Weigh(max_examples=100)), local=add)
    assert refusal.value.rule == "R7"
    federation(Pipeline(Weigh(max_examples=100))).round()  # zero-out: the number is public


def test_a_central_loops_last_model_is_the_one_that_the_ledger_knows(ledger):
    model = nn.Sequential(nn.Linear(4, 3))
    x, y = data()[2]
    model, optimizer, loader = make_private(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        DataLoader(TensorDataset(x, y), batch_size=32),
        clip_norm=1.0,
        noise_multiplier=4.0,
        ledger=ledger.dataset("a"),
    )
    for _ in range(2):
        for inputs, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
    made = [entry.fields["model"] for entry in ledger.entries if entry.kind == "release"]
    assert len(made) == 2
    assert made[-1] == weights_hash(model.state_dict()).hex()
    event = PoissonSampledDpEvent(32 / 160, GaussianDpEvent(4.0))
    expected = epsilon_of(event, DELTA, count=2 * 5).upper
    assert ledger.epsilon(DELTA).upper == pytest.approx(expected, rel=1e-6)
