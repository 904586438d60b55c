"""The benchmark of published shapes: its arithmetic, and its smallest runs."""

import importlib
import math
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PAIRS = [(81.0, 79.5), (74.2, 75.0), (90.1, 83.3), (66.6, 61.0)]
RUNS = [{"a": a, "b": b} for a, b in PAIRS]


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("published_shapes")


@pytest.fixture(scope="module")
def arithmetic(script):
    return importlib.import_module("_shapes_rows")


@pytest.fixture(scope="module")
def small(script):
    return script.Stragglers(rounds=1, clients=4, cohort=2, most=60, epochs=1, straggles=0.5)


# the arithmetic of a row


def test_a_row_has_the_paired_t_interval_of_its_difference(arithmetic):
    row = arithmetic.Shape("claim", "a", "b", margin=0.0).judged(RUNS)
    first, second = zip(*PAIRS, strict=True)
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (row.first, row.second) == pytest.approx((77.975, 74.7))
    assert row.apart.value == pytest.approx(3.275)
    assert (row.apart.lower, row.apart.upper) == pytest.approx(tuple(expected))


def test_a_row_of_a_ratio_has_the_paired_t_interval_of_logarithms(arithmetic):
    row = arithmetic.Shape("claim", "a", "b", margin=1.0, ratio=True).judged(RUNS)
    logs = [[math.log(figure) for figure in side] for side in zip(*PAIRS, strict=True)]
    expected = stats.ttest_rel(*logs).confidence_interval(0.95)
    geometric = stats.gmean([a / b for a, b in PAIRS])
    assert row.apart.value == pytest.approx(geometric)
    assert (row.apart.lower, row.apart.upper) == pytest.approx(tuple(map(math.exp, expected)))


def test_a_ratio_of_a_figure_that_is_zero_is_refused(arithmetic):
    shape = arithmetic.Shape("claim", "a", "b", margin=1.0, ratio=True)
    with pytest.raises(ValueError, match="above 0"):
        shape.judged([{"a": 0.0, "b": 1.0}, {"a": 1.0, "b": 1.0}])


@pytest.mark.parametrize(
    ("above", "margin", "verdict"),
    [
        (True, -3.0, "shown"),  # the interval is about [-2.3, 8.8]
        (True, 0.0, "unresolved"),
        (True, 9.0, "not shown"),
        (False, 9.0, "shown"),
        (False, 0.0, "unresolved"),
        (False, -3.0, "not shown"),
    ],
)
def test_a_verdict_needs_the_whole_interval_on_one_side_of_the_margin(
    arithmetic, above, margin, verdict
):
    row = arithmetic.Shape("claim", "a", "b", margin=margin, above=above).judged(RUNS)
    assert row.verdict == verdict
    assert str(row).endswith(verdict)


@pytest.mark.parametrize("ratio", [False, True])
def test_one_seed_resolves_nothing(arithmetic, ratio):
    row = arithmetic.Shape("claim", "a", "b", margin=0.5, ratio=ratio).judged(RUNS[:1])
    assert row.verdict == "unresolved"


# the claims


def test_the_smallest_run_fills_every_row(small, arithmetic):
    found = arithmetic.rows(small, seeds=2)
    runs = [small(seed) for seed in range(2)]
    assert [row.shape for row in found] == list(small.shapes)
    for row in found:
        pairs = [[run[name] for run in runs] for name in (row.shape.first, row.shape.second)]
        assert row.apart.value == pytest.approx(stats.describe(pairs[0]).mean - row.second)
        assert row.second == pytest.approx(sum(pairs[1]) / 2)
        assert row.seeds == 2


def test_sides_of_one_seed_differ_in_the_algorithm_alone(small):
    punctual = replace(small, straggles=0.0)(3)  # without stragglers FedProx(mu=0) is FedAvg
    assert punctual["mu=0 accuracy"] == punctual["FedAvg accuracy"]
    assert punctual["mu=0 loss"] == punctual["FedAvg loss"]
    assert punctual["mu=1 loss"] != punctual["FedAvg loss"]
    assert replace(small, straggles=0.0)(4) != punctual


def test_every_claim_compares_figures_that_it_measures(script):
    smaller = {"rounds": 1, "clients": 10, "epochs": 1, "most_steps": 50}
    for claim in (claim for claims in script.CLAIMS.values() for claim in claims):
        fields = {name: n for name, n in smaller.items() if hasattr(claim, name)}
        figures = replace(claim, **fields)(0)
        names = {name for shape in claim.shapes for name in (shape.first, shape.second)}
        assert names == names & figures.keys()
        assert all(math.isfinite(figure) for figure in figures.values())
