"""Which algorithm goes with which defence: each cell is refused by its rule, or runs on images."""

import importlib.util
from pathlib import Path

import pytest
import torch

from parts_for_tests import MaskedSum, Shares
from privfl import CompositionError, Federation, Pipeline
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.masking import SecAgg
from privfl.learning import FedBuff, FedOpt, Gossip, HeteroFL, HierFAVG, LocalSGD, ServerAdam, ring
from privfl.parts import Mean
from privfl.sampling import FixedSize, PowerOfChoice

PAGE = Path(__file__).parents[1] / "docs" / "composition.py"
spec = importlib.util.spec_from_file_location("composition", PAGE)
composition = importlib.util.module_from_spec(spec)
spec.loader.exec_module(composition)

ROWS, COLUMNS = [*composition.ALGORITHMS, *composition.CHOSEN], list(composition.DEFENCES)
RULES_THAT_COMPARE = ["groups", "Krum", "trimmed mean", "NNM"]
HOMOMORPHIC = ["CKKS", "BFV"]

# From the table of soundness rules, by hand: what is not here runs.
REFUSED = {
    "FedProx": {"DP-SGD": "R33"},
    "QFedAvg": {
        "weights": "R33", "DP-SGD": "R7", "top-k": "R33", "CKKS, kept": "R9",
        **dict.fromkeys(RULES_THAT_COMPARE, "R33"),
    },
    "PerFedAvg": {"DP-SGD": "R33"},
    "FedRep": {"DP-SGD": "R33"},
    "HeteroFL": {"weights": "R2", "DP-SGD": "R2", "top-k": "R33", "CKKS, kept": "R9"},
    "FedBuff": {"CKKS, kept": "R9"},
    "Gossip": {
        "weights": "R33", "central noise": "R33", "CKKS, kept": "R9", "FedOpt": "R33",
        **dict.fromkeys([*RULES_THAT_COMPARE, *HOMOMORPHIC], "R33"),
    },
    "HierFAVG": {"CKKS, kept": "R9"},
    "FedOpt": {"CKKS, kept": "R9", "FedOpt": "R33"},
    "Centralised": {**dict.fromkeys(COLUMNS[1:], "R33"), "CKKS, kept": "R9"},
    "FedAvg, PowerOfChoice": {
        **dict.fromkeys(["central noise", "local noise", "DP-SGD"], "R12"),
        **dict.fromkeys(
            ["random-k, masks", "SecAgg", "groups", "CKKS, kept", *HOMOMORPHIC], "R7"
        ),
    },
}  # fmt: skip


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("row", ROWS)
def test_this_cell_runs_two_rounds_or_is_refused_by_its_rule(row, column):
    assert composition.outcome(row, column) == REFUSED.get(row, {}).get(column, "runs")


def test_the_page_says_what_was_run():
    assert composition.PAGE.read_text() == composition.page(), "run python docs/composition.py"


def test_a_cell_that_does_not_train_is_no_cell_that_runs(monkeypatch):
    """The control: a round that leaves the model alone is an error of the page."""
    monkeypatch.setattr(Federation, "rounds", lambda self, n: iter(()))
    with pytest.raises(RuntimeError, match="as before"):
        composition.outcome.__wrapped__("FedAvg", "none")


CLIP, SHARE, SUM = Clip(1.0), Shares(), MaskedSum(2)
IN_SHARES = Pipeline(CLIP, SHARE, SUM)


def build(algorithm, pipeline, **options):
    x, y = composition.mnist_sample().train
    return Federation(
        composition.network(),
        [(x[k::1000], y[k::1000]) for k in range(6)],
        pipeline,
        loss=torch.nn.functional.cross_entropy,
        algorithm=algorithm,
        **{"local": LocalSGD(lr=0.1, steps=2)} | options,
    )


@pytest.mark.parametrize(
    "algorithm", [composition.ALGORITHMS[k] for k in ("FedAvg", "QFedAvg", "FedPer")]
)
def test_noise_in_shares_is_taken_where_there_is_one_sum(algorithm):
    build(algorithm, IN_SHARES).round()


WIDTHS = HeteroFL(composition.network, {0: 0.5})
CENTRAL = Pipeline(CLIP, Mean(), CentralGaussianNoise(1.0))
REPLACED = Pipeline(CLIP, Mean(), CentralGaussianNoise(1.0, relation="replace-one"))
BUFFER = FedBuff(buffer=3, participations=5)


@pytest.mark.parametrize(
    ("algorithm", "pipeline", "options", "rule", "fix"),
    [
        (Gossip(ring(6)), IN_SHARES, {}, "R33", "LocalGaussianNoise"),
        (Gossip(ring(6)), Pipeline(CLIP, LocalGaussianNoise(1.0), SecAgg()), {}, "R33", "Keep one"),
        (Gossip(ring(6)), Pipeline(), {"sampling": FixedSize(3)}, "R33", "sampling="),
        (FedBuff(buffer=3), CENTRAL, {}, "R12", "participations"),
        (BUFFER, REPLACED, {}, "R12", "zero-out"),
        (BUFFER, CENTRAL, {"local": LocalSGD(epochs=1)}, "R12", "steps="),
        (BUFFER, Pipeline(), {"sampling": FixedSize(3)}, "R12", "sampling="),
        (WIDTHS, CENTRAL, {"sampling": FixedSize(3)}, "R12", "sampling="),
        (HierFAVG({"a": range(6)}), CENTRAL, {"sampling": FixedSize(3)}, "R12", "sampling="),
        (HierFAVG({"a": range(6)}, cloud=CENTRAL), Pipeline(), {}, "R2", "the federation's"),
        (FedOpt(ServerAdam(), Gossip(ring(6))), Pipeline(), {}, "R33", "alone"),
        (None, IN_SHARES, {"sampling": PowerOfChoice(4, 2)}, "R12", "FixedSize"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_this_federation_is_refused_before_anybody_trains(algorithm, pipeline, options, rule, fix):
    with pytest.raises(CompositionError) as error:
        build(algorithm, pipeline, **options)
    assert error.value.rule == rule
    assert fix in error.value.fix
    assert len(error.value.parts) == 2
