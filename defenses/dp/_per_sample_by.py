"""The choice between the ways of computing per-example gradients."""

from collections.abc import Collection

from torch import nn

from privfl.core import require
from privfl.defenses.dp._by_ghost import ByGhost
from privfl.defenses.dp._by_hooks import ByHooks
from privfl.defenses.dp._by_vmap import ByVmap
from privfl.defenses.dp._per_sample import PerSample
from privfl.defenses.dp._private_model import (
    draws_at_random,
    fastest,
    has_own_weights,
    require_private_model,
)

WAYS: dict[str, type[PerSample]] = {"hooks": ByHooks, "functorch": ByVmap, "ghost": ByGhost}


def require_way(gradients: str | None) -> None:
    """Refuse a way that is not known; None is the fastest."""
    known = gradients is None or gradients in WAYS
    require(known, f"gradients must be None or one of {', '.join(WAYS)}", repr(gradients))


def per_sample(
    model: nn.Module,
    clip_norm: float,
    gradients: str | None,
    *,
    size: float,
    trained: Collection[nn.Parameter] | None = None,
    again: bool = False,
) -> PerSample:
    """Return the way that is asked for, or the fastest for batches of about ``size``.

    Args:
        model: in training mode.
        clip_norm: of each example's gradient.
        gradients: "hooks", "functorch", "ghost" or None.
        size: expected size of a batch.
        trained: the weights that are released; None: all that train.
        again: whether outputs come from a forward pass of somebody else's.
    """
    require_way(gradients)
    require_private_model(model)
    way = gradients or fastest(model, size, again=again)
    if again:
        _require_second_run(model, way)
    return WAYS[way](model, clip_norm, trained)


def _require_second_run(model: nn.Module, way: str) -> None:
    """Refuse ways that do not go with a forward pass that ended before they take over."""
    if way == "functorch":
        random = draws_at_random(model)
        wanted = "gradients='functorch' runs the model a second time, and it must do the same"
        require(not random, wanted, "a model with dropout", "Use gradients='hooks'")
    else:
        own = has_own_weights(model)
        wanted = f"gradients={way!r} needs weights in layers inside the model"
        fix = "Use nn.Sequential(model), or gradients='functorch'"
        require(not own, wanted, "weights of the model itself", fix)
