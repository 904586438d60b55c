"""What is done to updates: the one agreement that both sides import."""

from collections.abc import Mapping

from privfl import Pipeline
from privfl.defenses.dp import CentralGaussianNoise, Clip
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import TrimmedMean
from privfl.parts import Mean, Weigh

Settings = Mapping[str, bool | float | int | str]


def shield(settings: Settings) -> Pipeline:
    """Return the pipeline that the run's settings name."""
    clip = Clip(float(settings["clip-norm"]))
    weigh = Weigh(max_examples=float(settings["max-examples"]))
    uniform = frozenset({"uniform_weights"})  # each client counts the same: accepted, and said so
    match settings["shield"]:
        case "clip":
            return Pipeline(clip, weigh)
        case "masks":
            return Pipeline(clip, weigh, SecAgg())
        case "robust":
            return Pipeline(clip, TrimmedMean(n_byzantine=2), accepting=uniform)
        case "noise":
            noise = CentralGaussianNoise(float(settings["noise-multiplier"]))
            return Pipeline(clip, Mean(), noise, accepting=uniform)
        case other:
            raise ValueError(f"shield must be clip, masks, robust or noise. Found {other!r}.")
