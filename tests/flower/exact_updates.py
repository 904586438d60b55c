"""Updates whose means are exact, and what must not be seen of them on the way.

They are multiples of 60 steps of the grid, so that the mean of up to six of them is exact in
float32, and so is the model.
"""

import numpy as np

from flower.apps_for_tests import Keys
from parts_for_tests import FixedPoint
from privfl.defenses.dp import Clip

N, DIM, BITS = 5, 16, 20
NAMES = tuple(Keys(N).names)
RNG = np.random.default_rng(7)
STEPS = 60 * RNG.integers(-4096, 4096, (N, DIM))  # of the grid
START = RNG.integers(-(2**20), 2**20, DIM)
EXACT = (Clip(100.0), FixedPoint(BITS))
UNIFORM = {"accepting": {"uniform_weights"}}


def floats(steps):
    """Multiples of the grid's step, as numbers."""
    return (steps * 2.0**-BITS).astype(np.float32)


def after_one_round():
    """The model after a round in which all clients are counted."""
    return floats(START + STEPS.sum(axis=0) // N)


def but(*gone):
    """The names of all clients except these."""
    return tuple(name for k, name in enumerate(NAMES) if k not in gone)


def is_mean_of(moved, names):
    """Whether a model has moved by the exact mean of the updates of ``names``."""
    rows = STEPS[[NAMES.index(name) for name in names]]
    return np.array_equal(moved.astype(float) * 2**BITS, rows.sum(axis=0) / len(rows))


def leaks(written, models):
    """Name the clients of whose update neighbouring values were written as they are.

    Args:
        written: where to look.
        models: from which the clients trained.
    """
    return [
        k for k, steps in enumerate(STEPS) if any(_seen(written, x) for x in raw(steps, models))
    ]


def raw(steps, models):
    """An update and what it was trained to, in the ways in which numbers are written."""
    vectors = [floats(steps), *(model + floats(steps) for model in models)]
    return [*(x.astype(kind) for x in vectors for kind in "fd"), *map(steps.astype, "il")]


def _seen(written, x):
    return any(x[i : i + 2].tobytes() in written for i in range(0, len(x) - 1, 5))
