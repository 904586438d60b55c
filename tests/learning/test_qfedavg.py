"""q-FedAvg behind masks and under noise: two sums, both protected."""

import math

import numpy as np
import pytest
import torch
from dp_accounting import get_epsilon_gaussian
from torch import nn

from learning_for_tests import LOCAL, LR, STEPS, clients, federation, line, squares, start, weights
from oracles import federated as oracle
from privfl import CompositionError, Federation, Pipeline
from privfl.compression import RandomK, TopK
from privfl.defenses.dp import DPSGD, CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.he import CKKS
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import Krum, TrimmedMean
from privfl.learning import QFedAvg
from privfl.parts import Mean, Weigh
from privfl.sampling import Poisson


def fair(pipeline=None, *, q=1.0, **options):
    given = {name: options.pop(name) for name in list(options) if name.startswith("h_")}
    return federation(QFedAvg(q=q, lr=LR, **given), pipeline, **options)


def summands(q, data=None):
    """Each client's two summands, both divided by L = 1 / lr: updates (n, d) and h (n,)."""
    moves, hs = [], []
    for pair in clients() if data is None else data:
        f = oracle.loss(start(), pair)
        delta = oracle.local(start(), pair, lr=LR, steps=STEPS) - start()
        moves.append(f**q * delta)
        hs.append(f**q + (q * f ** (q - 1) * np.sum(delta**2) / LR if q else 0.0))
    return np.array(moves), np.array(hs)


# masks


@pytest.mark.parametrize("q", [0.0, 1.0])
def test_masked_sums_come_to_what_plain_ones_come_to(q):
    options = {"q": q, "h_bound": 100.0}
    clip = 60.0
    plain = fair(Pipeline(Clip(clip)), **options)
    masked = fair(Pipeline(Clip(clip), SecAgg()), **options)
    moves, hs = summands(q)
    assert np.linalg.norm(moves, axis=1).max() < clip  # so that nothing is cut
    step = masked.pipeline.plan(n_clients=5, dim=4, scalars=masked.algorithm.scalars).step
    for run in (plain, masked):
        run.round()
    u, h = moves.mean(axis=0), hs.mean()
    assert weights(plain) == pytest.approx(start() + u / h, abs=1e-6)
    # each mean is off by a step at most, h in units of its bound over its share of the clip norm
    off = step / h + np.abs(u) / h**2 * step * 100.0 / clip
    assert (np.abs(weights(plain) - weights(masked)) <= 1.1 * off).all()
    assert step < 0.01


# clamps


def test_h_is_capped_at_its_bound_client_by_client():
    moves, hs = summands(1.0)
    cap = float(np.sort(hs)[2])  # two are cut
    run = fair(h_bound=cap)
    done = run.round()
    expected = np.minimum(hs, cap).mean()
    assert done.release.scalars["h"] == pytest.approx(expected, rel=1e-6)
    assert weights(run) == pytest.approx(start() + moves.mean(axis=0) / expected, abs=1e-6)


@pytest.mark.parametrize("least", [1e-3, 50.0])
def test_the_mean_of_h_is_floored(least):
    moves, hs = summands(1.0)
    run = fair(h_least=least, h_bound=1e6)
    run.round()
    h = max(least, hs.mean())
    assert weights(run) == pytest.approx(start() + moves.mean(axis=0) / h, abs=1e-6)


def test_noise_cannot_turn_a_step_around():
    """Under much noise h comes out below 0 half of the time; the floor keeps its sign."""
    shield = Pipeline(Clip(1e-6), Mean(), CentralGaussianNoise(1e6))
    signs = []
    for seed in range(8):
        run = fair(shield, h_least=0.5, generator=torch.Generator().manual_seed(seed))
        done = run.round()
        signs.append(done.release.scalars["h"])
        expected = start() + done.release.update.numpy() / max(done.release.scalars["h"], 0.5)
        assert weights(run) == pytest.approx(expected, abs=1e-9)
    assert min(signs) < 0 < max(signs)  # both: all alike has a chance of 2^-7, but it is seeded


def test_a_client_that_fits_its_data_adds_nothing():
    """At a loss of 0 the power q - 1 is infinite, and what it multiplies is 0."""
    x = clients()[0][0]
    perfect = (x, x @ start())
    for q in (0.5, 1.0, 2.0):
        data = [perfect, clients()[1]]
        pairs = [tuple(map(torch.from_numpy, pair)) for pair in data]
        run = Federation(
            line(),
            pairs,
            Pipeline(),
            loss=squares,
            algorithm=QFedAvg(q=q, lr=LR, h_bound=1e6),
            local=LOCAL,
        )
        run.round()
        (move,), (h,) = summands(q, data[1:])
        assert weights(run) == pytest.approx(start() + move / h, abs=1e-6)


@pytest.mark.parametrize("pipeline", [Pipeline(), Pipeline(Clip(1.0))], ids=["bare", "clip"])
def test_a_client_whose_loss_is_beyond_all_numbers_stops_nobody(pipeline):
    data = [list(map(torch.from_numpy, pair)) for pair in clients()]
    data[4][1] = data[4][1] * 1e120
    run = Federation(
        line(),
        [tuple(pair) for pair in data],
        pipeline,
        loss=squares,
        algorithm=QFedAvg(q=2.0, lr=LR),
        local=LOCAL,
    )
    run.round()
    assert np.isfinite(weights(run)).all()
    assert not np.array_equal(weights(run), start())


# noise


class Long(nn.Module):
    """A model of many weights, and a loss of 1 whatever it is given."""

    def __init__(self, dim=4000):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        return x


def one(outputs, y):
    return torch.ones(())


def noisy(h_share, seed=0, dim=4000, h_bound=64.0):
    return federation(
        QFedAvg(q=1.0, lr=LR, h_bound=h_bound, h_share=h_share),
        Pipeline(Clip(0.5), Mean(), CentralGaussianNoise(2.0)),
        net=Long(dim),
        loss=one,
        local=lambda model, data, generator: model,
        generator=torch.Generator().manual_seed(seed),
    )


@pytest.mark.parametrize("h_share", [0.5, 2.0])
def test_noise_covers_the_denominator_too(h_share):
    """Jointly: both get z C sqrt(1 + share^2) / n (rule R7), h in units of its bound.

    The body's standard deviation is tested to six standard errors, as is that of 60 values of h:
    a sound run fails below 1e-8 of the time.
    """
    joint = 2.0 * 0.5 * math.sqrt(1 + h_share**2) / 5
    assert float(noisy(h_share).round().release.update.std()) == pytest.approx(
        joint, rel=6 / math.sqrt(2 * 4000)
    )
    hs = [noisy(h_share, seed, dim=1).round().release.scalars["h"] for seed in range(60)]
    expected = joint / (h_share * 0.5) * 64.0
    assert np.std(hs) == pytest.approx(expected, rel=6 / math.sqrt(2 * 60))
    assert np.mean(hs) == pytest.approx(1.0, abs=6 * expected / math.sqrt(60))  # F^q = 1, no move


def test_both_sums_cost_one_release():
    run = fair(Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(3.0)))
    list(run.rounds(2))
    expected = get_epsilon_gaussian(3.0 / math.sqrt(2), 1e-5)
    assert run.history[-1].epsilon == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("noise", ["central", "local"])
def test_it_runs_under_noise_that_is_drawn_and_sampled(noise):
    shield = (
        Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.0))
        if noise == "central"
        else Pipeline(Clip(1.0), LocalGaussianNoise(1.0))
    )
    run = fair(shield, sampling=Poisson(rate=0.5))
    list(run.rounds(2))
    assert np.isfinite(weights(run)).all()
    assert math.isfinite(run.history[-1].epsilon)


# what is refused


NORM = nn.Sequential(nn.Linear(4, 1, bias=False), nn.BatchNorm1d(1)).double()


@pytest.mark.parametrize(
    ("pipeline", "options", "rule", "side", "fix"),
    [
        (Pipeline(Krum(n_byzantine=0)), {}, "R33", "Krum", "Mean()"),
        (Pipeline(TrimmedMean(n_byzantine=1)), {}, "R33", "TrimmedMean", "Mean()"),
        (Pipeline(Weigh(9)), {}, "R33", "Weigh", "Keep one"),
        (Pipeline(TopK(1)), {}, "R33", "TopK", "RandomK"),
        (Pipeline(Clip(1.0), CKKS()), {}, "R9", "CKKS", "Publish"),
        (
            Pipeline(),
            {"local": DPSGD(noise_multiplier=1.0, batch_size=2, steps=1)},
            "R7",
            "DPSGD",
            "FedAvg()",
        ),
        (Pipeline(), {"net": NORM}, "R1", "str", "statistics='local'"),
    ],
    ids=lambda value: None,
)
def test_it_refuses_what_breaks_its_quotient(pipeline, options, rule, side, fix):
    with pytest.raises(CompositionError) as refusal:
        fair(pipeline, **options)
    assert refusal.value.rule == rule
    assert [type(part).__name__ for part in refusal.value.parts] == ["QFedAvg", side]
    assert fix in refusal.value.fix


def test_random_coordinates_of_both_sums_are_fine():
    list(fair(Pipeline(RandomK(2), Clip(9.0), SecAgg())).rounds(2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"q": -1.0}, "q must"),
        ({"lr": 0.0}, "lr"),
        ({"h_bound": 0.0}, "h_bound"),
        ({"h_share": -1.0}, "h_share"),
        ({"h_least": 0.0}, "h_least"),
        ({"h_bound": 1e-4}, "at least h_least"),
    ],
)
def test_bounds_that_bound_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        QFedAvg(**options)
