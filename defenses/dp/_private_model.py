"""Which models record-level privacy can be had for."""

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.rnn import RNNBase

from privfl.core import require

_OPACUS = "opacus.layers"


def require_private_model(model: nn.Module) -> None:
    """Refuse what has no per-example gradients, with the layer's name and what to put instead.

    Raises:
        ValueError: a model in eval mode, batch statistics, running statistics, or layers that
            neither Opacus nor torch.func goes through.
    """
    wanted = "A model is trained in training mode"
    require(model.training, wanted, "eval mode", "Call model.train() first")
    for name, layer in model.named_modules():
        for reason, fix in _faults(layer):
            found = f"{name or 'the model itself'}: {type(layer).__name__}"
            require(False, reason, found, fix)


def require_for_hooks(model: nn.Module) -> None:
    """Refuse what Opacus refuses, registered validators of others included."""
    from opacus.validators import ModuleValidator

    errors = ModuleValidator.validate(model)
    wanted = "gradients='hooks' and 'ghost' take what Opacus takes"
    require(not errors, wanted, "; ".join(str(error) for error in errors))
    trained = [(n, layer) for n, layer in model.named_modules() if has_own_weights(layer)]
    buffers = [n or "the model itself" for n, layer in trained if _own_buffers(layer)]
    fix = "Use gradients='functorch'"
    require(not buffers, "Opacus takes no buffers in trained layers", ", ".join(buffers), fix)
    padded = [n for n, x in trained if getattr(x, "padding_idx", None) is not None]
    wanted = "Opacus would train the row of padding_idx"
    require(not padded, wanted, ", ".join(padded), fix)


def fastest(model: nn.Module, n: float, *, again: bool) -> str:
    """Choose how per-example gradients of batches of about ``n`` are computed, by measurement.

    Milliseconds a step on one core (torch.func, hooks, ghost), batches of 32 and 256: the demo's
    CNN (5.3, 6.4, 7.8) and (28, 39, 71); its MLP (1.9, 2.5, 1.4) and (35, 56, 2.5); an MLP of
    1.9 million weights, batch 32 (137, 243, 10); a GroupNorm CNN (9.4, 10.9, 14.6). So torch.func,
    which also takes any layer, and ghost where linear layers hold everything and the gradients
    would leave the cache. Hooks where the model is run a second time (``again``) and draws at
    random, and for Opacus's own layers.
    """
    if again and has_own_weights(model):
        return "functorch"
    layers = list(model.modules())
    if any(type(layer).__module__.startswith(_OPACUS) for layer in layers):
        return "hooks"
    many = n * sum(p.numel() for p in model.parameters() if p.requires_grad) > 2**22
    if many and _linear_only(model):
        return "ghost"
    return "hooks" if again and draws_at_random(model) else "functorch"


def draws_at_random(model: nn.Module) -> bool:
    """Tell whether a second forward pass would differ by dropout."""
    dropout = (x for x in model.modules() if isinstance(x, nn.modules.dropout._DropoutNd))
    return any(layer.p > 0 and layer.training for layer in dropout)


def has_own_weights(model: nn.Module) -> bool:
    """Tell whether the model itself, and not a layer in it, holds trained weights."""
    return any(p.requires_grad for p in model.parameters(recurse=False))


def _linear_only(model: nn.Module) -> bool:
    trained = [layer for layer in model.modules() if has_own_weights(layer)]
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    tied = len(names) > len(dict(model.named_parameters()))
    return all(type(layer) is nn.Linear for layer in trained) and not tied


def _faults(layer: nn.Module) -> Iterator[tuple[str, str]]:
    # in eval mode too, where it has no running statistics to use
    if isinstance(layer, _BatchNorm) and (layer.training or not layer.track_running_stats):
        yield (
            "Each example must be normalised without the others",
            f"Use GroupNorm({_groups(layer.num_features)}, {layer.num_features}), "
            "or freeze it and call its eval()",
        )
    elif isinstance(layer, _NormBase) and layer.track_running_stats and layer.training:
        yield "Running statistics are a release without noise", "Set track_running_stats=False"
    if isinstance(layer, RNNBase) and not type(layer).__module__.startswith(_OPACUS):
        yield (
            "Recurrent layers need per-example gradients",
            "Use opacus.layers' DPLSTM, DPGRU or DPRNN",
        )
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag) and layer.max_norm is not None:
        yield "Rows that are rescaled where they are looked up tell who did", "Set max_norm=None"
    if isinstance(layer, nn.MultiheadAttention):
        yield (
            "Attention needs per-example gradients",
            "Use opacus.layers.DPMultiheadAttention",
        )


def _groups(features: int) -> int:
    return next(groups for groups in (8, 4, 2, 1) if features % groups == 0)


def _own_buffers(layer: nn.Module) -> bool:
    return any(True for _ in layer.buffers(recurse=False))
