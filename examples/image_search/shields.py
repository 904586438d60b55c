"""What is done to updates: the body's only, since nothing else leaves a client."""

from privfl import Pipeline
from privfl.defenses.dp import CentralGaussianNoise, Clip
from privfl.defenses.masking import SecAgg
from privfl.parts import Mean


def masked() -> Pipeline:
    """Bound each update, and let the server see the sum of a round only."""
    return Pipeline(Clip(2.0), SecAgg())


def noised() -> Pipeline:
    """Hide, from whoever gets the model, whether a client took part.

    The server is trusted to add the noise, and sees each update.
    """
    return Pipeline(Clip(0.5), Mean(), CentralGaussianNoise(2.0))
