"""What both sides import: the pipelines, the updates, and the keys of all clients."""

from flower.apps_for_tests import Keys
from flower.exact_updates import EXACT, UNIFORM, N
from privfl import Pipeline
from privfl.compression import Quantize
from privfl.crypto import Stream
from privfl.defenses.dp import Clip
from privfl.defenses.masking import SecAgg

KEYS = Keys(N)
SEED = 12
SHIELDS = {
    "exact": Pipeline(*EXACT, SecAgg(), **UNIFORM),
    "golden": Pipeline(Clip(0.5), Quantize(8), SecAgg(), **UNIFORM),
}


def shield(settings):
    """The pipeline of a run."""
    return SHIELDS[settings["shield"]]


def generator(settings):
    """A replay generator for golden vectors, and the system's randomness for all else."""
    return Stream.replay(SEED) if settings["shield"] == "golden" else None
