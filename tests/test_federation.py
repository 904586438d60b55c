"""A federation is a training loop with a pipeline in it, and nothing else."""

import copy
import math

import pytest
import torch
from torch import nn

from oracles.fedavg import fedavg_round
from privfl import CompositionError, Federation, Layout, Pipeline
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.learning import FedAvg, LocalSGD, TogetherSGD
from privfl.parts import Mean, Weigh


def model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def data(n: int = 5, size: int = 20) -> list[tuple[torch.Tensor, torch.Tensor]]:
    g = torch.Generator().manual_seed(1)
    return [
        (torch.randn(size + k, 4, generator=g), torch.randint(3, (size + k,), generator=g))
        for k in range(n)
    ]


def federation(pipeline=None, **options):
    options = {"loss": nn.functional.cross_entropy, "generator": seed(3)} | options
    return Federation(options.pop("net", model()), data(), pipeline or Pipeline(), **options)


def seed(k: int) -> torch.Generator:
    return torch.Generator().manual_seed(k)


def weights(net: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


FULL_BATCH = LocalSGD(lr=0.1, batch_size=1000, epochs=3)  # no shuffle matters


def test_fedavg_is_the_bare_loop() -> None:
    net = model()
    expected = fedavg_round(net, data(), lr=0.1, steps=3)
    run = federation(net=net, local=FULL_BATCH)
    run.round()
    assert torch.allclose(weights(net), expected, atol=1e-6)


def test_fedavg_weighs_by_examples_where_the_pipeline_says_so() -> None:
    net = model()
    expected = fedavg_round(net, data(), lr=0.1, steps=3, by_examples=True)
    run = federation(Pipeline(Weigh(max_examples=100)), net=net, local=FULL_BATCH)
    run.round()
    assert torch.allclose(weights(net), expected, atol=1e-6)


def test_a_seeded_run_repeats_to_the_bit_and_an_unseeded_one_does_not() -> None:
    shield = Pipeline(Clip(1.0), LocalGaussianNoise(0.1))
    finals = []
    for source in (seed(3), seed(3), seed(4), None, None):
        run = federation(shield, generator=source)
        list(run.rounds(2))
        finals.append(weights(run.model))
    assert torch.equal(finals[0], finals[1])
    assert not any(torch.equal(finals[k], finals[k + 1]) for k in (1, 2, 3))


def test_dropped_clients_leave_the_survivors_mean() -> None:
    net = model()
    expected = fedavg_round(net, data(), lr=0.1, steps=3, only=[0, 1, 3, 4])
    run = federation(net=net, local=FULL_BATCH)
    round_ = run.round(drop={2: "upload"})
    assert round_.release.survivors == (0, 1, 3, 4)
    assert torch.allclose(weights(net), expected, atol=1e-6)


def test_loss_is_the_mean_over_clients_and_falls() -> None:
    run = federation(local=LocalSGD(lr=0.1, batch_size=1000))
    first = run.round()
    expected = sum(nn.functional.cross_entropy(model()(x), y).item() for x, y in data()) / len(
        data()
    )
    assert first.metrics["loss"] == pytest.approx(expected, rel=1e-5)
    list(run.rounds(20))
    assert run.history[-1].loss < first.metrics["loss"]


def test_a_function_trains_and_reports_no_loss() -> None:
    def local(net: nn.Module, pair, generator: torch.Generator) -> nn.Module:
        assert isinstance(generator, torch.Generator)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(1.0)
        return net

    net = model()
    before = weights(net)
    run = federation(net=net, local=local)
    assert run.round().metrics == {}
    assert run.history[0].loss is None
    assert torch.allclose(weights(net), before + 1, atol=1e-6)


def test_datasets_may_be_torch_datasets_and_have_names() -> None:
    class Rows(torch.utils.data.Dataset):
        def __init__(self, pair):
            self.x, self.y = pair

        def __len__(self):
            return len(self.y)

        def __getitem__(self, k):
            return self.x[k], self.y[k]

    runs = []
    for datasets in (data(), [Rows(pair) for pair in data()]):
        net = model()
        named = {f"clinic-{k}": pair for k, pair in enumerate(datasets)}
        run = Federation(
            net,
            named,
            Pipeline(),
            loss=nn.functional.cross_entropy,
            local=FULL_BATCH,
            generator=seed(3),
        )
        assert run.round().release.survivors == tuple(named)
        runs.append(weights(net))
    assert torch.equal(runs[0], runs[1])


def test_running_statistics_are_averaged_apart_and_not_clipped() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    trained = []
    for x, y in data():
        worker = copy.deepcopy(net)
        LocalSGD(lr=0.1, batch_size=1000).train(
            worker, (x, y), nn.functional.cross_entropy, stream()
        )
        trained.append(worker[1].running_mean.clone())
    run = federation(Pipeline(Clip(1e-3)), net=net, local=LocalSGD(lr=0.1, batch_size=1000))
    run.round()
    assert torch.allclose(net[1].running_mean, torch.stack(trained).mean(0), atol=1e-6)
    assert net[1].num_batches_tracked == 0


def test_batch_norm_under_a_privacy_claim_names_both_ways_out() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    shield = Pipeline(Clip(1.0), LocalGaussianNoise(1.0))
    with pytest.raises(CompositionError, match=r"statistics='local'.*GroupNorm"):
        federation(shield, net=net)
    run = federation(shield, net=net, layout=Layout.of(net, statistics="local"))
    before = net[1].running_mean.clone()
    run.round()
    assert torch.equal(net[1].running_mean, before)


def test_a_frozen_backbone_does_not_move() -> None:
    net = model()
    before = copy.deepcopy(net.state_dict())
    federation(net=net, layout=Layout.of(net, only=["2"])).round()
    assert torch.equal(net.state_dict()["0.weight"], before["0.weight"])
    assert not torch.equal(net.state_dict()["2.weight"], before["2.weight"])


def test_a_trainer_first_in_the_pipeline_trains() -> None:
    net = model()
    expected = fedavg_round(net, data(), lr=0.1, steps=3)
    federation(Pipeline(FULL_BATCH, Mean()), net=net, local=LocalSGD(lr=9.0)).round()
    assert torch.allclose(weights(net), expected, atol=1e-6)


def test_history_counts_epsilon_by_round() -> None:
    run = federation(Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(2.0)))
    list(run.rounds(4))
    epsilons = [record.epsilon for record in run.history]
    # mu-GDP: four Gaussian(2) releases are one Gaussian(1), epsilon 4.377 at delta 1e-5
    # (Balle & Wang 2018, equation 6, solved to four digits)
    assert epsilons == sorted(epsilons)
    assert epsilons[-1] == pytest.approx(4.377, abs=2e-3)
    assert {record.against for record in run.history} == {"outsider"}
    table = run.history.to_pandas()
    assert list(table["round"]) == [0, 1, 2, 3]
    assert (table["survivors"] == 5).all()


def test_without_noise_epsilon_is_infinite() -> None:
    run = federation()
    run.round()
    assert math.isinf(run.history[0].epsilon)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"datasets": []}, "at least one client"),
        ({"datasets": [(torch.zeros(0, 4), torch.zeros(0).long())]}, "as many labels as inputs"),
        ({"datasets": [(torch.zeros(3, 4), torch.zeros(2).long())]}, "3 inputs and 2 labels"),
        ({"net": model().eval()}, r"model.train\(\)"),
        ({"local": 3}, "Trainer or a function"),
    ],
)
def test_bad_input_is_refused(change, text) -> None:
    options = {"datasets": data(), "net": model(), "local": LocalSGD()} | change
    with pytest.raises(ValueError, match=text):
        Federation(
            options["net"],
            options["datasets"],
            Pipeline(),
            loss=nn.functional.cross_entropy,
            local=options["local"],
        )


def test_a_trainer_refuses_a_model_in_eval_mode() -> None:
    with pytest.raises(ValueError, match="eval mode"):
        LocalSGD().train(model().eval(), data()[0], nn.functional.cross_entropy, stream())


def test_local_sgd_takes_the_steps_it_is_asked_for() -> None:
    for steps, epochs, size, wanted in ((7, 1, 8, 7), (None, 2, 8, 6), (None, 1, 100, 1)):
        seen = []

        def loss(out, y, seen=seen):
            seen.append(len(y))
            return nn.functional.cross_entropy(out, y)

        LocalSGD(batch_size=size, epochs=epochs, steps=steps).train(
            model(), data()[0], loss, stream()
        )
        assert len(seen) == wanted


def test_fedavg_without_a_loss_sends_none() -> None:
    assert federation(algorithm=FedAvg(loss_bound=None)).round().metrics == {}


def stream():
    from privfl.crypto import Stream

    return Stream.replay(0)


def test_training_together_is_training_one_by_one() -> None:
    finals, losses = [], []
    for kind in (LocalSGD, TogetherSGD):
        run = federation(local=kind(lr=0.1, batch_size=8, steps=2))
        list(run.rounds(2))
        finals.append(weights(run.model))
        losses.append(run.history[-1].loss)
    assert torch.allclose(finals[0], finals[1], atol=1e-6)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"steps": None}, "number of steps"),
        ({"steps": 1, "momentum": 0.9}, "no momentum"),
    ],
)
def test_training_together_refuses_what_it_cannot_do(options, text) -> None:
    with pytest.raises(ValueError, match=text):
        TogetherSGD(**options)


def test_training_together_refuses_a_client_with_too_few_examples() -> None:
    run = federation(local=TogetherSGD(batch_size=21, steps=1))
    with pytest.raises(ValueError, match=r"needs? 21 examples. Found 20"):
        run.round()


def test_nobody_is_dropped_who_is_not_there() -> None:
    with pytest.raises(ValueError, match="drop names clients among"):
        federation().round(drop={99: "upload"})
