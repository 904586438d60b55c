"""HierFAVG: masks at the edges and a robust cloud, weights of edges, and what is refused."""

import numpy as np
import pytest
import torch

from learning_for_tests import LR, STEPS, clients, federation, squares, start, weights
from oracles import federated as oracle
from privfl import CompositionError, Federation, Ledger, Pipeline
from privfl.defenses.dp import AdaptiveClip, CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.he import CKKS
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import Krum, TrimmedMean
from privfl.federation import Adversary
from privfl.learning import Fleet, HierFAVG, LocalSGD
from privfl.parts import Mean, Weigh
from privfl.sampling import Device, FixedSize, Poisson

DELTA = 1e-5
EDGES = {"north": [0, 1], "south": [2, 3, 4]}


def hier(pipeline=None, edges=EDGES, cloud=None, edge_rounds=1, **options):
    algorithm = HierFAVG(edges, edge_rounds=edge_rounds, cloud=cloud or Pipeline())
    return federation(algorithm, pipeline, **options)


# one edge is poisoned


class Poisons(Adversary):
    """Send a far update from every client of some edge."""

    def __init__(self, members, far):
        self.bad, self.far = set(members), far

    def corrupted(self, update_of, members):
        def sent(who):
            update, scalars = update_of(who)
            return (update + self.far if who in self.bad else update), scalars

        return sent


def five_edges(cloud, attacked, clip=2.0, edges=5):
    """Fifteen clients that want the same, three an edge, under masks in the edges."""
    rng = np.random.default_rng(0)
    w = np.array([1.0, -1.0, 0.5, 2.0])
    data = []
    for _ in range(3 * edges):
        x = rng.normal(size=(20, 4))
        data.append((torch.from_numpy(x), torch.from_numpy(x @ w)))
    net = torch.nn.Linear(4, 1, bias=False).double()
    with torch.no_grad():
        net.weight.zero_()
    groups = {f"edge {k}": [3 * k, 3 * k + 1, 3 * k + 2] for k in range(edges)}
    run = Federation(
        net,
        data,
        Pipeline(Clip(clip), SecAgg()),
        loss=squares,
        algorithm=HierFAVG(groups, cloud=cloud),
        local=LocalSGD(lr=0.2, batch_size=1000, steps=2),
        adversary=Poisons([6, 7, 8], torch.full((4,), 1e3)) if attacked else None,
    )
    list(run.rounds(3))
    return np.linalg.norm(run.model.weight.detach().numpy()[0] - w)


@pytest.mark.parametrize(
    ("cloud", "stands"),
    [
        (Pipeline(TrimmedMean(n_byzantine=1)), True),
        (Pipeline(Krum(n_byzantine=1)), True),
        (Pipeline(), False),  # the control: without a rule one edge carries the model away
    ],
    ids=["trimmed mean", "krum", "mean"],
)
def test_a_robust_cloud_over_masked_edges_withstands_one_poisoned_edge(cloud, stands):
    honest, attacked = five_edges(cloud, False), five_edges(cloud, True)
    assert honest < 0.3
    assert (attacked < 0.4) == stands
    if not stands:
        assert attacked > 0.6


# weights of edges


@pytest.mark.parametrize("edge_rounds", [1, 2])
def test_an_edge_counts_by_the_clients_that_came(edge_rounds):
    run = hier(edge_rounds=edge_rounds)
    done = run.round(drop={3: "upload"})
    data = clients()
    w = oracle.hierfavg(
        start(),
        [[data[0], data[1]], [data[2], data[4]]],
        lr=LR,
        steps=STEPS,
        edge_rounds=edge_rounds,
    )
    assert weights(run) == pytest.approx(w, abs=1e-12)
    assert done.record.survivors == 4  # clients, not edges


def test_a_record_counts_clients_and_not_edges():
    run = hier()
    assert run.round().record.survivors == 5
    assert run.history[0].bytes_up > 0


def test_the_loss_is_the_mean_over_clients_of_all_edges():
    run = hier(local=LocalSGD(lr=LR, batch_size=1000, steps=1))
    expected = np.mean([min(oracle.loss(start(), pair), 10.0) for pair in clients()])
    assert run.round().metrics["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_drawn_cohort_is_split_by_edges():
    run = hier(sampling=FixedSize(size=3), generator=torch.Generator().manual_seed(0))
    data, w = clients(), start()
    for done in run.rounds(5):
        taken = {who for release in done.releases[:-1] for who in release.survivors}
        assert len(taken) == 3
        groups = [[data[k] for k in who if k in taken] for who in EDGES.values()]
        w = oracle.hierfavg(w, [g for g in groups if g], lr=LR, steps=STEPS, edge_rounds=1)
        assert weights(run) == pytest.approx(w, abs=1e-12)


def test_an_empty_cohort_changes_nothing():
    run = hier(sampling=Poisson(rate=1e-9))
    assert run.round().release.survivors == ()
    assert np.array_equal(weights(run), start())


def test_a_cloud_may_be_masked_too():
    """Weighed by 2 and 3 in front of the clip; three edges, since two hide nothing of two."""
    edges = {"a": [0, 1], "b": [2], "c": [3, 4]}
    plain = hier(edges=edges)
    masked = hier(edges=edges, cloud=Pipeline(Clip(9.0), SecAgg()))
    step = masked.algorithm.cloud.plan(n_clients=3, dim=4).step
    for run in (plain, masked):
        list(run.rounds(2))
    assert np.abs(weights(plain) - weights(masked)).max() <= 2 * 2 * step
    assert step < 1e-3


# time


def test_edges_work_beside_one_another_and_the_cloud_waits_for_the_slowest():
    """By hand: three steps take 3, 6, 1, 1 and 1.5 s, each message .5 s, and two rounds an edge."""
    speeds = [1.0, 0.5, 3.0, 3.0, 2.0]
    fleet = Fleet([Device(speed=speed, delay=0.5) for speed in speeds])
    run = hier(edge_rounds=2, fleet=fleet)
    clocks = [done.clock for done in run.rounds(2)]
    assert clocks == pytest.approx([2 * 6.5, 4 * 6.5])


# what it costs


def test_noise_in_the_edges_is_charged_by_the_edge_round_and_the_cloud_is_free(tmp_path):
    from dp_accounting import get_epsilon_gaussian

    ledger = Ledger(tmp_path / "run.db")
    account = ledger.datasets({k: f"clinic-{k}" for k in range(5)})
    shield = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(4.0))
    run = hier(shield, edge_rounds=2, ledger=account)
    list(run.rounds(2))
    entries = [entry for entry in ledger.entries if entry.kind == "charge"]
    assert len(entries) == 2 * 2 * 5
    for who in range(5):
        spent = ledger.epsilon(DELTA, dataset=f"clinic-{who}").upper
        assert spent == pytest.approx(get_epsilon_gaussian(4.0 / np.sqrt(4), DELTA), rel=1e-6)


# what is refused


NOISE = CentralGaussianNoise(1.0)


@pytest.mark.parametrize(
    ("cloud", "rule", "side", "fix"),
    [
        (Pipeline(Clip(1.0), Mean(), NOISE), "R2", "CentralGaussianNoise", "federation's"),
        (
            Pipeline(Clip(1.0), LocalGaussianNoise(1.0)),
            "R2",
            "LocalGaussianNoise",
            "federation's",
        ),
        (Pipeline(Weigh(9)), "R33", "Weigh", "inside"),
        (Pipeline(LocalSGD()), "R33", "LocalSGD", "federation's"),
        (Pipeline(Clip(1.0), CKKS()), "R9", "CKKS", "Publish"),
    ],
    ids=lambda value: None,
)
def test_it_refuses_a_cloud_that_does_not_fit(cloud, rule, side, fix):
    with pytest.raises(CompositionError) as refusal:
        hier(cloud=cloud)
    assert refusal.value.rule == rule
    assert [type(part).__name__ for part in refusal.value.parts] == ["HierFAVG", side]
    assert fix in refusal.value.fix


def test_a_sampled_claim_over_several_sums_is_refused():
    shield = Pipeline(Clip(1.0), Mean(), NOISE)
    with pytest.raises(CompositionError) as refusal:
        hier(shield, sampling=Poisson(rate=0.5))
    assert refusal.value.rule == "R12"
    hier(shield).round()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HierFAVG({}), "at least one edge"),
        (lambda: HierFAVG({"a": [0], "b": []}), r"at least one client.*\['b'\]"),
        (lambda: HierFAVG({"a": [0, 1], "b": [1]}), "A client is in one edge"),
        (lambda: HierFAVG({"a": [0, 0]}), "A client is in one edge"),
        (lambda: HierFAVG({"a": [0]}, edge_rounds=0), "edge_rounds"),
        (lambda: hier(edges={"a": [0, 1, 2, 3]}), r"Every client is in an edge.*\[4\]"),
        (lambda: hier(edges={"a": [0, 1, 2, 3, 4, 9]}), r"Edges hold clients.*\[9\]"),
    ],
)
def test_edges_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_edges_remember_is_kept_apart():
    """An adaptive clip follows its own edge: one that moves far has a larger norm in the end."""
    edges = {"near": [0, 1], "far": [2, 3, 4]}
    run = federation(HierFAVG(edges), Pipeline(AdaptiveClip(0.1)), local=LocalSGD(lr=LR, steps=1))
    for who in edges["near"]:
        x, y = run.datasets[who]
        run.datasets[who] = (1e-3 * x, y)  # its slopes vanish
    for _ in run.rounds(5):
        pass
    assert set(run.pipeline_states) == {"edge near", "edge far", "cloud"}
    norms = [run.pipeline_states[f"edge {edge}"]["public"] for edge in edges]
    assert norms[0] != norms[1]


def test_edges_may_be_listed():
    named = federation(HierFAVG({"edge 0": [0, 3], "edge 1": [1, 2, 4]}))
    listed = federation(HierFAVG([[0, 3], [1, 2, 4]]))
    named.round(), listed.round()
    assert weights(named) == pytest.approx(weights(listed), abs=1e-12)


def test_under_a_claim_edges_count_by_who_was_asked():
    """Whoever is gone is a zero update in its edge, and so it is in the cloud (rule R3)."""
    hush = Pipeline(Clip(1e3), Mean(), CentralGaussianNoise(1e-12))
    run = hier(hush)
    run.round(drop={2: "upload"})
    moves = [oracle.local(start(), data, lr=LR, steps=STEPS) - start() for data in clients()]
    expected = start() + sum(moves[k] for k in (0, 1, 3, 4)) / 5
    assert weights(run) == pytest.approx(expected, abs=1e-6)
