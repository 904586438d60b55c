"""What leaves a client, and what is done to it before."""

from torch import nn

from privfl import Layout, Pipeline
from privfl.defenses.dp import Clip, LocalGaussianNoise
from privfl.defenses.masking import SecAgg

CLIP_NORM = 2.5  # the updates' own norms fall from 2.7 in the first round to 2.1 in the eighth


def layout_of(model: nn.Module) -> Layout:
    """Return which weights of a detector travel: its trained parameters.

    Out of the vector, and so out of the noise and the sums, stay:

    - The running means and variances of BatchNorm. They are no updates: noise makes a variance
      negative. Each client keeps its own; the alternative is a model with GroupNorm.
    - ``num_batches_tracked``, by its dtype: an integer has no place in a mean.
    - The weights of the layer ``dfl``: the fixed numbers 0, 1, 2, … that turn a distribution into
      a distance. They are a parameter without a gradient, and with noise on them every box moves.

    The moving average (EMA) that Ultralytics trains beside a model is not part of the model.
    """
    fixed = [name for name in model.state_dict() if ".dfl." in name]
    return Layout.of(model, exclude=fixed, statistics="local")


def plain() -> Pipeline:
    """Average what the clients send: the server sees each update."""
    return Pipeline()


def masked() -> Pipeline:
    """Bound each update, and show the server sums only."""
    return Pipeline(Clip(CLIP_NORM), SecAgg())


def noised(noise_multiplier: float = 0.01) -> Pipeline:
    """Let each client also add noise before the mask.

    With four clients this shows how it is done, not how privacy is won: a multiplier that hides a
    client drowns what four of them teach. `Pipeline.explain` says how many it takes.
    """
    return Pipeline(Clip(CLIP_NORM), LocalGaussianNoise(noise_multiplier), SecAgg())
