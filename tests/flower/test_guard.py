"""A guarded strategy gets the pipeline's aggregate, and its model moves by it."""

import numpy as np
import pytest
from flwr.serverapp.strategy import FedAvg

from flower.apps_for_tests import Keys, guarded_app, record
from privfl import Pipeline
from privfl.defenses.dp import Clip
from privfl.defenses.he import BFV, CKKS
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import TrimmedMean
from privfl.flower import InProcessGrid, guard
from privfl.parts import Mean, Weigh

N = 5
KEYS = Keys(N)
UPDATES = [{"w": np.array([0.1 * k, -0.05 * k, 0.2], np.float32)} for k in range(N)]
COUNTS = [10, 20, 30, 40, 50]
ROWS = np.stack([update["w"] for update in UPDATES])
UNIFORM = {"accepting": {"uniform_weights"}}


def run(shield, rounds=1, **options):
    guarded = guard(FedAvg(fraction_evaluate=0.0), shield, registry=KEYS.registry)
    grid = InProcessGrid(guarded_app(shield, UPDATES, keys=KEYS, counts=COUNTS, **options), N)
    start = record(w=np.zeros(3, np.float32))
    result = guarded.start(grid=grid, initial_arrays=start, num_rounds=rounds)
    return result.arrays["w"].numpy(), guarded


@pytest.mark.parametrize(
    ("shield", "expected", "atol"),
    [
        (Pipeline(Mean(), **UNIFORM), ROWS.mean(axis=0), 1e-7),
        (Pipeline(Weigh(50)), np.average(ROWS, axis=0, weights=COUNTS), 1e-7),
        (Pipeline(Clip(1.0), Weigh(50), SecAgg()), np.average(ROWS, 0, COUNTS), 1e-4),
        (Pipeline(Clip(1.0), SecAgg(), **UNIFORM), ROWS.mean(axis=0), 1e-4),
        (Pipeline(Clip(1.0), CKKS(published=2), **UNIFORM), ROWS.mean(axis=0), 1e-4),
        (Pipeline(Clip(1.0), BFV(published=True), **UNIFORM), ROWS.mean(axis=0), 1e-4),
        (Pipeline(TrimmedMean(n_byzantine=1), **UNIFORM), np.sort(ROWS, 0)[1:4].mean(0), 1e-7),
    ],
    ids=repr,
)
def test_the_model_moves_by_the_aggregate(shield, expected, atol):
    once, guarded = run(shield)
    np.testing.assert_allclose(once, expected, atol=atol)
    assert guarded.history[0].survivors == tuple(KEYS.names)
    twice, _ = run(shield, rounds=2)
    np.testing.assert_allclose(twice, 2 * expected, atol=2 * atol)
