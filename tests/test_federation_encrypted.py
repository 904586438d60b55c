"""Training under encryption: who may compute on what clients open, and what is kept."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from privfl import CompositionError, Federation, Pipeline
from privfl.core import decode, encode
from privfl.data import mnist_sample
from privfl.defenses.dp import Clip
from privfl.defenses.he import BFV, CKKS
from privfl.learning import Algorithm, FedAvg, LocalSGD
from privfl.rounds import without_keys

KEPT = [Pipeline(Clip(1.0), CKKS()), Pipeline(Clip(1.0), BFV())]
PUBLISHED = [
    Pipeline(Clip(1.0), CKKS(published=4)),
    Pipeline(Clip(1.0), BFV(published=True)),
]


@dataclass(frozen=True)
class Momentum(FedAvg):
    """A server that keeps a velocity: it computes on every release."""

    clients_can_step = False


def federation(pipeline, **options):
    x, y = mnist_sample().train
    clients = [(x[k:200:4], y[k:200:4]) for k in range(4)]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    options = {"local": LocalSGD(lr=0.1, steps=2), "generator": torch.Generator(), **options}
    return Federation(model, clients, pipeline, loss=nn.functional.cross_entropy, **options)


@pytest.mark.parametrize("pipeline", KEPT + PUBLISHED, ids=repr)
def test_it_trains_as_the_plain_pipeline_does(pipeline):
    trained, plain = federation(pipeline), federation(Pipeline(Clip(1.0)))
    for mine, theirs in zip(trained.rounds(3), plain.rounds(3), strict=True):
        assert mine.metrics["loss"] == pytest.approx(theirs.metrics["loss"], abs=1e-3)
        for name, weight in mine.model.state_dict().items():
            assert torch.allclose(weight, theirs.model.state_dict()[name], atol=2e-4)


@pytest.mark.parametrize("pipeline", KEPT, ids=repr)
def test_a_server_that_computes_on_the_result_is_refused_where_clients_keep_it(pipeline):
    with pytest.raises(CompositionError, match="stays with those who hold the key") as error:
        federation(pipeline, algorithm=Momentum())
    assert error.value.rule == "R9"
    assert error.value.parts == (Momentum(), pipeline.protocol)
    assert "published=" in error.value.fix


@pytest.mark.parametrize("pipeline", PUBLISHED, ids=repr)
def test_a_server_may_compute_on_what_is_published(pipeline):
    assert federation(pipeline, algorithm=Momentum()).round().release.survivors == (0, 1, 2, 3)


def test_an_algorithm_that_does_not_say_is_refused():
    class Silent(Algorithm):
        """An algorithm of a user's own."""

    with pytest.raises(CompositionError) as error:
        federation(KEPT[0], algorithm=Silent())
    assert error.value.rule == "R9"


def seeds_of_keys(state):
    kept = [decode(memory)["protocol"] for memory in state["clients"].values()]
    return {one["key"]["seed"] for one in kept if one is not None}


@pytest.mark.parametrize("pipeline", KEPT + PUBLISHED, ids=repr)
def test_a_checkpoint_holds_no_key_and_its_federation_goes_on(pipeline, tmp_path):
    first = federation(pipeline)
    first.round()
    (seed,) = seeds_of_keys(first.pipeline_states["main"])
    first.save(tmp_path / "run")
    assert seed not in (tmp_path / "run").read_bytes()
    options = {"loss": nn.functional.cross_entropy, "local": LocalSGD(lr=0.1, steps=2)}
    again = Federation.resume(
        tmp_path / "run",
        nn.Sequential(nn.Flatten(), nn.Linear(784, 10)),
        list(first.datasets.values()),
        pipeline,
        **options,
    )
    again.round()
    assert seeds_of_keys(again.pipeline_states["main"]).isdisjoint({seed})
    first.round()
    assert seeds_of_keys(first.pipeline_states["main"]) == {seed}


def test_the_state_of_an_averager_holds_no_key():
    model = nn.Linear(3, 2)
    averager = KEPT[0].averager(model)
    averager([model.state_dict()] * 3)
    (seed,) = seeds_of_keys(averager.release.state)
    assert seed in encode(averager.release.state)
    assert seed not in averager.state_dict()["state"]


def test_a_state_without_clients_stays_as_it_is():
    assert without_keys(None) is None
    assert without_keys({"round": 1}) == {"round": 1}
