"""Gossip behind masks and under noise: what neighbours see, and what it costs."""

import math

import numpy as np
import pytest
import torch
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, get_epsilon_gaussian
from torch import nn

from learning_for_tests import DIM, LR, STEPS, clients, federation, start, weights
from oracles import federated as oracle
from privfl import CompositionError, Ledger, Pipeline, PlanError
from privfl.accounting import epsilon_of
from privfl.compression import TopK
from privfl.defenses.dp import DPSGD, CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.he import BFV, CKKS
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import NNM, Krum, TrimmedMean
from privfl.learning import Fleet, Gossip, LocalSGD, complete, contraction, metropolis, ring
from privfl.parts import Grouped, Mean, Plain, Weigh
from privfl.sampling import Device, FixedSize, Poisson

DELTA = 1e-5
PATH = metropolis(5, [(0, 1), (1, 2), (2, 3), (3, 4)])
ROUND = np.roll(np.eye(5), 1, axis=1)  # everybody hears the next one only
LEANING = 0.5 * np.eye(5) + 0.3 * ROUND + 0.2 * ROUND @ ROUND  # doubly stochastic, not symmetric


def still(model, data, generator):
    return model


def models_of(run):
    n = len(run.members)
    return np.array([run.model_of(k).weight.detach().numpy()[0] for k in range(n)])


def hold(run, models):
    """Give every node a model of its own."""
    held = {k: {"weight": torch.from_numpy(w[None].copy())} for k, w in enumerate(models)}
    run._state = {**run._state, "models": held}
    return run


def spread(n=5):
    return np.random.default_rng(3).normal(size=(n, DIM))


# mixing


@pytest.mark.parametrize("matrix", [LEANING, torch.tensor(LEANING), ring(5), PATH])
def test_a_node_counts_the_others_by_its_row(matrix):
    """Rows, not columns: seen where the matrix is not symmetric."""
    models = spread()
    run = hold(federation(Gossip(matrix), local=still), models)
    assert np.array_equal(Gossip(LEANING).mixing, LEANING)
    run.round()
    assert models_of(run) == pytest.approx(np.array(Gossip(matrix).mixing) @ models, abs=1e-12)
    assert weights(run) == pytest.approx(models.mean(axis=0), abs=1e-12)


def test_a_leaning_matrix_draws_together_by_its_norm_off_the_mean():
    off = LEANING - 1 / 5
    matrix = Gossip(LEANING).mixing
    assert contraction(matrix) == pytest.approx(np.linalg.svd(off)[1][0], abs=1e-12)
    assert not np.allclose(LEANING, LEANING.T)
    ws = [start()] * 5
    for _ in range(2):
        ws = oracle.dpsgd(ws, clients(), LEANING, lr=LR, steps=STEPS)
    run = federation(Gossip(LEANING))
    list(run.rounds(2))
    assert models_of(run) == pytest.approx(np.array(ws), abs=1e-12)


def test_who_has_no_neighbour_trains_alone():
    matrix = np.eye(5)
    matrix[:2, :2] = 0.5
    run = federation(Gossip(matrix))
    list(run.rounds(2))
    alone = oracle.local(start(), clients()[4], lr=LR, steps=2 * STEPS)
    assert models_of(run)[4] == pytest.approx(alone, abs=1e-12)


def test_matrices_by_hand():
    third = 1 / 3
    assert np.array(PATH)[0] == pytest.approx([2 * third, third, 0, 0, 0])
    assert np.array(PATH)[2] == pytest.approx([0, third, third, third, 0])
    star = metropolis(4, [(0, 1), (0, 2), (0, 3), (1, 0)])  # an edge counts once
    assert np.array(star)[0] == pytest.approx([0.25] * 4)
    assert np.array(star)[1] == pytest.approx([0.25, 0.75, 0, 0])
    assert np.array(ring(3)) == pytest.approx(np.full((3, 3), third))
    assert np.array(ring(4))[3] == pytest.approx([third, 0, third, third])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gossip(np.eye(3)), "must link some nodes"),
        (lambda: Gossip([[0.5, 0.5], [0.4, 0.6]]), "sum to 1"),
        (lambda: Gossip([[0.5, 0.4], [0.5, 0.6]]), "sum to 1"),
        (lambda: Gossip([[1.5, -0.5], [-0.5, 1.5]]), "from 0 up"),
        (lambda: Gossip(torch.ones(2, 3) / 3), r"shape \(n, n\)"),
        (lambda: ring(2), "n"),
        (lambda: metropolis(3, [(0, 3)]), "pairs of different nodes"),
        (lambda: metropolis(3, [(1, 1)]), "pairs of different nodes"),
        (lambda: federation(Gossip(ring(4))), "a row for each of 5 clients"),
    ],
)
def test_matrices_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# masks


@pytest.mark.parametrize("mixing", [ring(4), ring(5), complete(5)], ids=["4", "5", "complete"])
def test_masked_neighbours_come_to_what_plain_ones_come_to(mixing):
    n = len(mixing)
    plain = federation(Gossip(mixing), Pipeline(Clip(9.0)), n=n)
    masked = federation(Gossip(mixing), Pipeline(Clip(9.0), SecAgg()), n=n)
    degree = sum(w > 0 for w in mixing[0]) - 1
    step = masked.pipeline.plan(n_clients=degree, dim=DIM).step
    for k in range(1, 4):
        plain.round()
        masked.round()
        gap = np.abs(models_of(plain) - models_of(masked)).max()
        assert gap <= degree * k * step  # a rounding of each message a round; mixing only averages
    assert step < 1e-3
    bare = federation(Gossip(mixing), n=n)  # nobody was so far away that a clip cut anything
    list(bare.rounds(3))
    assert models_of(plain) == pytest.approx(models_of(bare), abs=1e-12)


def test_a_clients_clip_bounds_its_way_from_the_first_model():
    models = spread() * 100
    run = hold(federation(Gossip(complete(5)), Pipeline(Clip(1.0)), local=still), models)
    run.round()
    far = models - start()
    sent = start() + far / np.maximum(np.linalg.norm(far, axis=1, keepdims=True), 1.0)
    expected = [(models[i] + sent.sum(axis=0) - sent[i]) / 5 for i in range(5)]
    assert models_of(run) == pytest.approx(np.array(expected), abs=1e-9)


def test_one_neighbour_is_not_masked():
    """Degree 1 hides nothing: refused before anybody trains."""
    trained = []

    def local(model, data, generator):
        trained.append(1)
        return model

    with pytest.raises(CompositionError):
        federation(Gossip(PATH), Pipeline(Clip(1.0), SecAgg()), local=local).round()
    assert trained == []


# noise


class Long(nn.Module):
    """A model of many weights that says nothing."""

    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, dim))


LONG = 4000
NOISY = Pipeline(Clip(0.5), LocalGaussianNoise(3.0))


def test_local_noise_enters_each_nodes_state_once_and_is_not_drawn_for_messages():
    """Std of z C after a round: six standard errors, so that it fails below 1e-7 of the time.

    With noise on messages too, or drawn anew for each neighbour, or mixed before it is added, it
    would be another.
    """
    run = federation(
        Gossip(ring(5)),
        NOISY,
        net=Long(LONG),
        local=still,
        generator=torch.Generator().manual_seed(0),
    )
    run.round()
    first = models_of(run)  # every node began at 0: mixing adds nothing, so this is the noise
    assert np.std(first, axis=1) == pytest.approx([1.5] * 5, rel=6 / math.sqrt(2 * LONG))
    gram = first @ first.T / LONG / 1.5**2
    assert np.abs(gram - np.eye(5)).max() < 6 * math.sqrt(2 / LONG)  # each of its own
    run.round()
    fresh = models_of(run) - np.array(ring(5)) @ first
    assert np.std(fresh, axis=1) == pytest.approx([1.5] * 5, rel=6 / math.sqrt(2 * LONG))
    assert np.abs(fresh @ first.T / LONG / 1.5**2).max() < 6 / math.sqrt(LONG)


class Stepless(Gossip):
    """Take the nodes' own steps away, noise included."""

    def _stepped(self, who, own, exchange):
        return own


def test_mixing_noisy_nodes_draws_no_noise():
    """Unseeded: two runs would differ if anything was drawn. Three rounds are the matrix cubed."""
    mixed = []
    for _ in range(2):
        run = hold(federation(Stepless(ring(5)), NOISY), spread())
        list(run.rounds(3))
        mixed.append(models_of(run))
    assert np.array_equal(*mixed)
    expected = np.linalg.matrix_power(np.array(ring(5)), 3) @ spread()
    assert mixed[0] == pytest.approx(expected, abs=1e-12)


def account_of(tmp_path, n=5):
    ledger = Ledger(tmp_path / "run.db")
    return ledger, ledger.datasets({k: f"clinic-{k}" for k in range(n)})


def charged(ledger):
    return [entry.fields for entry in ledger.entries if entry.kind == "charge"]


@pytest.mark.parametrize("mixing", [ring(5), complete(5), PATH], ids=["ring", "complete", "path"])
def test_local_noise_is_charged_once_a_round_however_many_listen(tmp_path, mixing):
    ledger, account = account_of(tmp_path)
    run = federation(Gossip(mixing), NOISY, ledger=account)
    list(run.rounds(2))
    assert len(charged(ledger)) == 10
    for who in range(5):
        question = {"dataset": f"clinic-{who}", "unit": "client", "vantage": "server"}
        spent = ledger.epsilon(DELTA, relation="zero-out", **question).upper
        # any two messages are neighbours, 2 C apart: Gaussian(z / 2), twice (rule R5)
        assert spent == pytest.approx(get_epsilon_gaussian(1.5 / math.sqrt(2), DELTA), rel=1e-6)


@pytest.mark.parametrize("pipeline", [Pipeline(), Pipeline(Clip(50.0), SecAgg())], ids=str)
def test_private_steps_are_charged_once_a_round(tmp_path, pipeline):
    local = DPSGD(lr=LR, noise_multiplier=2.0, batch_size=2, steps=3)
    ledger, account = account_of(tmp_path)
    run = federation(Gossip(ring(5)), pipeline, local=local, ledger=account)
    list(run.rounds(2))
    assert len(charged(ledger)) == 10
    for who, (_, y) in enumerate(clients()):
        event = PoissonSampledDpEvent(2 / len(y), GaussianDpEvent(2.0))
        spent = ledger.epsilon(DELTA, dataset=f"clinic-{who}", unit="record").upper
        assert spent == pytest.approx(epsilon_of(event, DELTA, count=6).upper, rel=1e-6)


def test_bare_messages_are_charged_as_undefended_and_for_every_listener(tmp_path):
    ledger, account = account_of(tmp_path)
    run = federation(Gossip(ring(5)), ledger=account)
    run.round()
    assert len(charged(ledger)) == 10
    assert ledger.epsilon(DELTA, dataset="clinic-0").upper == math.inf
    assert math.isinf(run.history[0].epsilon)


# what is refused


CENTRAL = CentralGaussianNoise(1.0)
NOISE = LocalGaussianNoise(1.0)


@pytest.mark.parametrize(
    ("pipeline", "options", "rule", "sides", "fix"),
    [
        (Pipeline(Krum(n_byzantine=0)), {}, "R33", ("Gossip", "Krum"), "behind Plain()"),
        (Pipeline(TrimmedMean(n_byzantine=1)), {}, "R33", ("Gossip", "TrimmedMean"), "Clip"),
        (Pipeline(NNM(TrimmedMean(n_byzantine=1))), {}, "R33", ("Gossip", "NNM"), "Clip"),
        (Pipeline(Weigh(9)), {}, "R33", ("Gossip", "Weigh"), "Keep one"),
        (Pipeline(Clip(1.0), CKKS()), {}, "R9", ("Gossip", "CKKS"), "Publish"),
        (Pipeline(Clip(1.0), BFV(published=True)), {}, "R33", ("Gossip", "BFV"), "SecAgg()"),
        (
            Pipeline(Clip(1.0), Mean(), CENTRAL),
            {},
            "R33",
            ("Gossip", "CentralGaussianNoise"),
            "LocalGaussianNoise",
        ),
        (
            Pipeline(Clip(1.0), NOISE, SecAgg()),
            {},
            "R33",
            ("LocalGaussianNoise", "SecAgg"),
            "Keep one",
        ),
        (
            Pipeline(Clip(1.0), NOISE, Grouped(Plain(), size=2)),
            {},
            "R33",
            ("LocalGaussianNoise", "Grouped"),
            "Keep one",
        ),
        (Pipeline(), {"sampling": FixedSize(size=2)}, "R33", ("Gossip", "FixedSize"), "out"),
        (Pipeline(), {"sampling": Poisson(rate=0.5)}, "R33", ("Gossip", "Poisson"), "out"),
    ],
    ids=lambda value: None,
)
def test_it_refuses_what_needs_a_centre(pipeline, options, rule, sides, fix):
    with pytest.raises(CompositionError) as refusal:
        federation(Gossip(ring(5)), pipeline, **options)
    assert refusal.value.rule == rule
    assert tuple(type(part).__name__ for part in refusal.value.parts) == sides
    assert fix in refusal.value.fix
    assert not isinstance(refusal.value, PlanError)


def test_it_sends_compressed_models():
    run = federation(Gossip(complete(5)), Pipeline(TopK(DIM)))
    bare = federation(Gossip(complete(5)))
    for one in (run, bare):
        list(one.rounds(2))
    assert models_of(run) == pytest.approx(models_of(bare), abs=1e-12)


# neighbours that are gone


@pytest.mark.parametrize("pipeline", [Pipeline(), Pipeline(Clip(1e3))], ids=["seen", "clipped"])
def test_a_node_whose_neighbours_are_gone_keeps_its_own_model(pipeline):
    fleet = Fleet([Device(dropout=1.0)] * 5)
    run = hold(federation(Gossip(ring(5)), pipeline, local=still, fleet=fleet), spread())
    run.round()
    assert models_of(run) == pytest.approx(spread(), abs=1e-12)


def test_noisy_nodes_whose_neighbours_are_gone_go_on():
    fleet = Fleet([Device(dropout=1.0)] * 5)
    run = hold(federation(Stepless(ring(5)), NOISY, fleet=fleet), spread())
    run.round()
    assert models_of(run) == pytest.approx(spread(), abs=1e-12)


def test_a_node_whose_neighbour_is_gone_counts_the_others():
    fleet = Fleet([Device(dropout=1.0)])  # node 0
    run = hold(federation(Gossip(complete(5)), local=still, fleet=fleet), spread())
    run.round()
    models = spread()
    others = models[[1, 2, 4]].mean(axis=0)
    assert models_of(run)[3] == pytest.approx(models[3] / 5 + 0.8 * others, abs=1e-12)


def test_a_node_sends_what_it_had_before_the_round():
    """All mix at once: the order of nodes in the loop says nothing."""
    forward, backward = federation(Gossip(complete(5))), federation(Gossip(complete(5)))
    names = [4, 3, 2, 1, 0]
    backward.datasets = {k: backward.datasets[k] for k in names}
    backward._state = backward.algorithm.start(backward.model, backward.members)
    for run in (forward, backward):
        list(run.rounds(2))
    assert models_of(forward) == pytest.approx(models_of(backward), abs=1e-12)


def test_nodes_draw_their_batches_apart():
    """With one data set for all, and one model, whoever drew alike would end alike."""
    run = federation(Gossip(ring(5)), local=LocalSGD(lr=LR, batch_size=1, steps=3))
    run.datasets.update(dict.fromkeys(run.members, run.datasets[4]))
    run.round()
    ends = models_of(run)
    mixed = {tuple(np.round(end, 12)) for end in ends}
    assert len(mixed) == 5


def test_what_a_node_remembers_of_its_steps_is_its_own():
    run = federation(Gossip(ring(5)), Pipeline(Clip(1.0), LocalGaussianNoise(0.1)))
    run.round()
    steps = {f"step {k}" for k in range(5)}
    assert set(run.pipeline_states) == steps | {f"node {k}" for k in range(5)}
