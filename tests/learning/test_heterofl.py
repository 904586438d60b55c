"""HeteroFL: widths, what nobody owns, rules by width, and noise on the sum of owners."""

import numpy as np
import pytest
import torch
from dp_accounting import get_epsilon_gaussian
from torch import nn

from learning_for_tests import (
    LR,
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
from privfl import CompositionError, Federation, Pipeline, PlanError
from privfl.compression import RandomK, TopK
from privfl.defenses.dp import DPSGD, CentralGaussianNoise, Clip
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import Krum, TrimmedMean
from privfl.learning import HeteroFL, LocalSGD, Scaler, masked, measured, static_batch_norm
from privfl.parts import Mean
from privfl.sampling import FixedSize


def hetero(pipeline=None, widths=None, **options):
    widths = {} if widths is None else widths
    algorithm = HeteroFL(Narrow, widths, mask_labels=False)
    return federation(algorithm, pipeline, net=Narrow(1.0), **options)


# a network as in the paper


def cnn(width):
    a, b = int(8 * width), int(16 * width)
    return static_batch_norm(
        nn.Sequential(
            nn.Conv2d(1, a, 3, padding=1),
            Scaler(width),
            nn.BatchNorm2d(a),
            nn.ReLU(),
            nn.Conv2d(a, b, 3, padding=1, stride=2),
            Scaler(width),
            nn.BatchNorm2d(b),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(b, 4),
        )
    )


WIDTHS = {0: 1.0, 1: 0.5, 2: 0.25, 3: 0.25}


def images():
    g = torch.Generator().manual_seed(0)
    return [(torch.randn(8, 1, 6, 6, generator=g), torch.arange(8) % 4) for _ in range(4)]


def pictures(**options):
    options = {"algorithm": HeteroFL(cnn, WIDTHS), "local": LocalSGD(lr=0.1, steps=2)} | options
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = cnn(1.0)
    data = options.pop("data", images())
    pipeline = options.pop("pipeline", Pipeline())
    return Federation(net, data, pipeline, loss=nn.functional.cross_entropy, **options)


def test_three_widths_of_a_convolutional_network_learn_together():
    run = pictures()
    before = {name: w.clone() for name, w in run.model.state_dict().items()}
    list(run.rounds(8))
    assert run.history[-1].loss < run.history[0].loss
    for who, width in WIDTHS.items():
        net = run.model_of(who)
        assert net[0].weight.shape == (int(8 * width), 1, 3, 3)
        assert net[1].width == width
        for name, w in net.state_dict().items():
            wide = run.model.state_dict()[name]
            assert torch.equal(wide[tuple(slice(size) for size in w.shape)], w)
    assert not torch.equal(run.model[0].weight[4:], before["0.weight"][4:])


def test_each_block_of_the_network_is_the_mean_over_those_as_wide():
    """Every client adds a number of its own to all it has."""

    def local(model, pair, generator):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += float(pair[0][0, 0, 0, 0])
        return model

    run = pictures(local=local)
    before = {name: w.clone() for name, w in run.model.state_dict().items()}
    run.round()
    adds = [float(x[0, 0, 0, 0]) for x, _ in images()]
    rows = [np.mean(adds[:k]) for k in (4, 2, 1)]  # owners of the first 4, the next, the rest
    moved = run.model[4].weight - before["4.weight"]  # (16, 8, 3, 3)
    for a, b, expected in [
        (slice(0, 4), slice(0, 2), rows[0]),
        (slice(4, 8), slice(0, 4), rows[1]),
        (slice(0, 8), slice(2, 4), rows[1]),
        (slice(8, 16), slice(0, 8), rows[2]),
        (slice(0, 4), slice(4, 8), rows[2]),
    ]:
        assert torch.allclose(moved[a, b], torch.full_like(moved[a, b], expected), atol=1e-6)


def test_what_nobody_owns_does_not_move():
    run = pictures(algorithm=HeteroFL(cnn, dict.fromkeys(range(4), 0.5)))
    before = {name: w.clone() for name, w in run.model.state_dict().items()}
    list(run.rounds(2))
    assert torch.equal(run.model[0].weight[4:], before["0.weight"][4:])
    assert torch.equal(run.model[4].weight[:, 4:], before["4.weight"][:, 4:])
    assert not torch.equal(run.model[4].weight[:8, :4], before["4.weight"][:8, :4])


def test_making_networks_leaves_the_global_random_state_alone():
    run = pictures()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run.round()
    run.model_of(2)
    assert torch.equal(torch.rand(3), expected)


# its parts


@pytest.mark.parametrize("width", [1.0, 0.5, 0.25])
def test_a_scaler_divides_by_the_width_in_training_only(width):
    x = torch.arange(6.0)
    scaler = Scaler(width)
    assert torch.equal(scaler(x) * width, x)
    assert torch.equal(scaler.eval()(x), x)


def test_a_static_norm_uses_the_batch_even_in_evaluation_and_has_no_statistics():
    net = static_batch_norm(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    assert set(net.state_dict()) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    x = torch.randn(50, 2) + 7
    out = net.eval()(x)
    assert torch.allclose(out.mean(dim=0), torch.zeros(3), atol=1e-4)
    assert torch.allclose(out.var(dim=0, unbiased=False), torch.ones(3), atol=1e-2)


def test_measured_statistics_are_the_means_over_the_batches():
    net = static_batch_norm(nn.Sequential(nn.BatchNorm1d(2)))
    batches = [torch.randn(20, 2) * 3 + k for k in range(4)]
    ready = measured(net, batches)
    mean = torch.stack([b.mean(dim=0) for b in batches]).mean(dim=0)
    var = torch.stack([b.var(dim=0) for b in batches]).mean(dim=0)
    assert torch.allclose(ready[0].running_mean, mean, atol=1e-5)
    assert torch.allclose(ready[0].running_var, var, rtol=1e-5)
    assert not ready.training
    assert net.training
    assert net[0].running_mean is None  # the model that is trained is left as it was
    x = torch.randn(1, 2)
    assert torch.allclose(ready(x), (x - mean) / (var + 1e-5).sqrt(), atol=1e-5)


def test_unseen_classes_are_not_pushed():
    outputs = torch.randn(5, 4, requires_grad=True)
    y = torch.tensor([0, 2, 2, 0, 2])
    value = masked(nn.functional.cross_entropy, y)(outputs, y)
    value.backward()
    assert torch.equal(outputs.grad[:, [1, 3]], torch.zeros(5, 2))
    assert (outputs.grad[:, [0, 2]] != 0).all()
    exps = outputs.detach().exp()  # the paper's: an unseen class has a logit of 0
    total = exps[:, 0] + exps[:, 2] + 2
    rows = torch.arange(5)
    expected = -(exps[rows, y] / total).log().mean()
    assert float(value.detach()) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("mask", [True, False])
def test_a_client_leaves_the_rows_of_unseen_classes_alone(mask):
    """By the labels of all of its data: not by those of a batch."""
    g = torch.Generator().manual_seed(0)
    data = [(torch.randn(8, 3, generator=g), torch.arange(8) % 2) for _ in range(2)]
    run = Federation(
        nn.Linear(3, 4),
        data,
        Pipeline(),
        loss=nn.functional.cross_entropy,
        algorithm=HeteroFL(lambda width: nn.Linear(3, 4), {}, mask_labels=mask),
        local=LocalSGD(lr=0.5, batch_size=1, steps=1),
    )
    before = run.model.weight.detach().clone()
    run.round()
    moved = (run.model.weight != before).any(dim=1)
    assert moved.tolist() == [True, True, not mask, not mask]


# rules that compare


def steps(widths):
    """Each client's update on its block, computed apart: a list of arrays."""
    out = []
    for (x, y), k in zip(clients(), widths, strict=True):
        w = start()[:k]
        out.append(oracle.local(w, (x[:, :k], y), lr=LR, steps=STEPS) - w)
    return out


def test_a_rule_runs_within_a_width_and_widths_count_by_their_clients():
    """Trimming nothing is a mean, but one that is taken width by width."""
    run = hetero(Pipeline(TrimmedMean(n_byzantine=0)), {0: 0.5, 1: 0.5})
    run.round()
    moves = steps([2, 2, 4, 4, 4])
    small, large = np.mean(moves[:2], axis=0), np.mean(moves[2:], axis=0)
    expected = start() + large
    expected[:2] = start()[:2] + (2 * small + 3 * large[:2]) / 5
    assert weights(run) == pytest.approx(expected, abs=1e-12)


def test_krum_picks_in_each_width_apart():
    """Of three the one whose nearest is nearest, in each width; rows are made to measure."""
    marks = {0: 1.0, 1: 1.1, 2: 1.5, 3: 10.0, 4: 10.5, 5: 10.6}  # 1.0 and 10.5, or their twins

    def local(model, pair, generator):
        with torch.no_grad():
            model.weight += marks[int(pair[1][0])]
        return model

    data = [(torch.zeros(1, 4).double(), torch.tensor([k])) for k in range(6)]
    algorithm = HeteroFL(Narrow, dict.fromkeys((0, 1, 2), 0.5), mask_labels=False)
    run = Federation(
        Narrow(1.0),
        data,
        Pipeline(Krum(n_byzantine=0)),
        loss=squares,
        algorithm=algorithm,
        local=local,
    )
    run.round()
    moved = weights(run) - start()
    assert moved[2:] == pytest.approx([moved[2]] * 2)
    large = moved[2]
    assert min(abs(large - 10.5), abs(large - 10.6)) < 1e-9
    small = 2 * moved[0] - large  # three clients of each width
    assert min(abs(small - 1.0), abs(small - 1.1)) < 1e-9


@pytest.mark.parametrize("few", [(0, 1), (3, 4)], ids=["first", "last"])
def test_a_width_with_too_few_clients_is_refused_before_anybody_trains(few):
    asked = []

    def local(model, pair, generator):
        asked.append(1)
        return model

    run = hetero(Pipeline(Krum(n_byzantine=0)), dict.fromkeys(few, 0.5), local=local)
    with pytest.raises(PlanError) as refusal:
        run.round()
    assert refusal.value.rule == "R17"
    assert asked == []
    assert np.array_equal(weights(run), start())


# noise on the sum of owners


OWNERS = {0: 1.0, 1: 0.5, 2: 0.5, 3: 0.25, 4: 0.25}  # of coordinates: 5, 3, 1, 1 of 5 clients


class Long(nn.Module):
    """A model of many weights that says nothing."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(int(4000 * width)))


def noise_only(widths, z=2.0, clip_norm=0.5):
    run = federation(
        HeteroFL(Long, widths, mask_labels=False),
        Pipeline(Clip(clip_norm), Mean(), CentralGaussianNoise(z)),
        net=Long(1.0),
        local=lambda model, pair, generator: model,
        generator=torch.Generator().manual_seed(0),
    )
    return run.round().release.update.double().numpy()


def test_a_coordinate_of_m_owners_gets_noise_of_z_c_over_m():
    """The right scale fails with a chance below 1e-8 (six standard errors, six figures)."""
    noise = noise_only(OWNERS)
    for block, owners in ((slice(0, 1000), 5), (slice(1000, 2000), 3), (slice(2000, None), 1)):
        n, std = len(noise[block]), 2.0 * 0.5 / owners
        assert np.std(noise[block]) == pytest.approx(std, rel=6 / np.sqrt(2 * n))
        assert np.mean(noise[block]) == pytest.approx(0, abs=6 * std / np.sqrt(n))


def test_noise_never_reaches_what_nobody_owns():
    widths = dict.fromkeys(range(5), 0.5)
    assert (noise_only(widths)[2000:] == 0).all()
    assert (noise_only(widths)[:2000] != 0).all()
    run = hetero(Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.0)), widths)
    run.round()
    assert np.array_equal(weights(run)[2:], start()[2:])


def test_an_absent_owner_counts_as_a_zero_update_under_noise():
    """The public owners divide, not those who came (rule R3)."""
    shield = Pipeline(Clip(1e3), Mean(), CentralGaussianNoise(1e-12))
    run = hetero(shield, OWNERS)
    run.round(drop={1: "upload"})
    moves = steps([4, 2, 2, 1, 1])
    moves[1] = np.zeros(2)
    total, owners = np.zeros(4), np.array([5, 3, 1, 1])
    for move in moves:
        total[: len(move)] += move
    assert weights(run) == pytest.approx(start() + total / owners, abs=1e-8)
    bare = hetero(Pipeline(Clip(1e3)), OWNERS)
    bare.round(drop={1: "upload"})
    came = start() + total / np.array([4, 2, 1, 1])
    assert weights(bare) == pytest.approx(came, abs=1e-12)


def test_widths_cost_what_one_sum_costs():
    run = hetero(Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(3.0)), OWNERS)
    list(run.rounds(2))
    expected = get_epsilon_gaussian(3.0 / np.sqrt(2), 1e-5)
    assert run.history[-1].epsilon == pytest.approx(expected, rel=1e-6)


def test_masked_sums_of_widths_are_the_plain_ones_up_to_rounding():
    plain, masked_ = (
        hetero(Pipeline(Clip(9.0)), OWNERS),
        hetero(Pipeline(Clip(9.0), SecAgg()), OWNERS),
    )
    step = masked_.pipeline.plan(n_clients=5, dim=4).step
    for run in (plain, masked_):
        run.round()
    gap = np.abs(weights(plain) - weights(masked_))
    assert (
        gap <= step * 1.001
    ).all()  # each owner rounds by less than a step, and they are averaged
    assert step < 1e-3
    assert (np.abs(weights(plain) - start()) > 100 * step).any()


# what is refused


@pytest.mark.parametrize(
    ("make", "rule", "sides"),
    [
        (lambda: hetero(Pipeline(TopK(1))), "R33", ("HeteroFL", "TopK")),
        (
            lambda: federation(
                HeteroFL(lambda w: nn.Sequential(line(), nn.BatchNorm1d(1)), {}),
                net=nn.Sequential(line(), nn.BatchNorm1d(1)),
            ),
            "R1",
            ("HeteroFL", "str"),
        ),
        (
            lambda: federation(
                HeteroFL(Narrow, {}),
                net=Narrow(1.0),
                local=DPSGD(noise_multiplier=1.0, batch_size=2, steps=1),
            ),
            "R2",
            ("HeteroFL", "DPSGD"),
        ),
        (
            lambda: hetero(
                Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.0)), sampling=FixedSize(size=2)
            ),
            "R12",
            ("HeteroFL", "FixedSize"),
        ),
    ],
    ids=["support", "statistics", "labels", "sampled claim"],
)
def test_it_refuses_what_it_does_not_go_with(make, rule, sides):
    with pytest.raises(CompositionError) as refusal:
        make()
    assert refusal.value.rule == rule
    assert tuple(type(part).__name__ for part in refusal.value.parts) == sides
    assert refusal.value.fix


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hetero(widths={0: 0.0}), "above 0 and at most 1"),
        (lambda: hetero(widths={0: 1.5}), "above 0 and at most 1"),
        (lambda: hetero(widths={"phone": 0.5}), "widths name clients"),
        (
            lambda: federation(HeteroFL(lambda w: line(2.0), {}), net=line()),
            r"weight of width 1\.0 must fit into \(1, 4\)",
        ),
        (
            lambda: federation(HeteroFL(lambda w: nn.Linear(4, 1).double(), {}), net=line()),
            "must have the names of width 1",
        ),
    ],
)
def test_widths_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_random_coordinates_go_with_widths():
    """Each owner's coordinate is sent or not alike, and made up for: moved ones are 4 / 2 times."""
    run = hetero(Pipeline(RandomK(2)), OWNERS)
    run.round()
    bare = hetero(Pipeline(), OWNERS)
    bare.round()
    ratio = (weights(run) - start()) / (weights(bare) - start())
    assert sorted(np.round(ratio, 9)) == [0, 0, 2, 2]


@pytest.mark.parametrize("claims", [False, True])
def test_widths_count_by_who_was_asked_under_a_claim_and_else_by_who_is_counted(claims):
    noise = (CentralGaussianNoise(1e-12),) if claims else ()
    shield = Pipeline(Clip(1e3), TrimmedMean(n_byzantine=0), *noise)
    half = HeteroFL(Narrow, {3: 0.5, 4: 0.5}, mask_labels=False)
    run = federation(half, shield, net=Narrow(1.0))
    before = weights(run)
    done = run.round(drop={0: "upload"})
    wide, narrow = (release.update.numpy() for release in done.releases)
    heads = 3 if claims else 2
    shared = (heads * wide + 2 * narrow) / (heads + 2)
    expected = before + np.where(np.arange(4) < 2, shared, wide)
    assert weights(run) == pytest.approx(expected, abs=1e-9)
