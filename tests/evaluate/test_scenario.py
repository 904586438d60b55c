"""The ground on which everything is measured stays the same, and says when it does not."""

import pickle

import pytest
import torch
from torch import nn

from privfl.evaluate import Scenario
from privfl.learning import LocalSGD

DIGITS = Scenario.digits()


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def test_the_demos_models_have_the_documented_size() -> None:
    for make, size in ((DIGITS.model, 28_938), (DIGITS.twin, 50_890)):
        assert sum(p.numel() for p in make().parameters()) == size


def test_your_own_takes_two_lines() -> None:
    x, y = torch.rand(500, 1, 28, 28), torch.arange(500) % 10
    scenario = Scenario("mine", linear, train=(x, y), test=(x, y))
    assert 0 <= scenario.accuracy(scenario.fresh_model(0)) <= 1


def test_clients_partition_the_data_and_the_seed_decides() -> None:
    first, again, other = DIGITS.clients(0), DIGITS.clients(0), DIGITS.clients(1)
    assert sum(len(y) for _, y in first.values()) == 5000
    assert all(torch.equal(first[k][1], again[k][1]) for k in first)
    assert any(len(first[k][1]) != len(other[k][1]) for k in first)
    assert min(len(y) for _, y in first.values()) >= DIGITS.local.batch_size


def test_a_fresh_model_leaves_torchs_own_generator_alone() -> None:
    before = torch.random.get_rng_state()
    one, same = DIGITS.fresh_model(3), DIGITS.fresh_model(3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))


def test_attackers_are_the_last_clients() -> None:
    assert (DIGITS.honest, DIGITS.byzantine) == (tuple(range(8)), (8, 9))


@pytest.mark.parametrize(
    "change",
    [{"rounds": 3}, {"alpha": 1.0}, {"local": LocalSGD(lr=0.3)}, {"model": linear}, {"name": "x"}],
)
def test_the_fingerprint_changes_with_what_results_depend_on(change) -> None:
    assert DIGITS.but(**change).fingerprint != DIGITS.fingerprint
    assert DIGITS.but().fingerprint == DIGITS.fingerprint


def test_the_fingerprint_changes_with_the_data() -> None:
    x, y = DIGITS.train
    x = x.clone()
    x[0, 0, 0, 0] += 0.5
    assert DIGITS.but(train=(x, y)).fingerprint != DIGITS.fingerprint


def test_it_crosses_a_process() -> None:
    assert pickle.loads(pickle.dumps(DIGITS)).fingerprint == DIGITS.fingerprint


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"n_byzantine": 5}, "honest"),
        ({"rounds": 0}, "rounds"),
        ({"test": (torch.zeros(0, 1), torch.zeros(0))}, "test must hold"),
    ],
)
def test_a_scenario_nobody_can_train_in_is_refused(change, text) -> None:
    with pytest.raises(ValueError, match=text):
        DIGITS.but(**change)
