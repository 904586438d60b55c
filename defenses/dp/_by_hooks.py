"""Per-example gradients by Opacus's hooks."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Protocol, Self, cast

import torch
from torch import Tensor, nn

from privfl.core import require
from privfl.defenses.dp._clipped_sum import clipped_sum
from privfl.defenses.dp._per_sample import PerSample
from privfl.defenses.dp._private_model import require_for_hooks


class Hooks(Protocol):
    """Opacus's hooks on a model."""

    def cleanup(self) -> None:
        """Take them off."""

    def disable_hooks(self) -> None:
        """Let them do nothing."""

    def enable_hooks(self) -> None:
        """Let them compute again."""


class ByHooks(PerSample):
    """Let Opacus compute each layer's per-example gradients from what went in and comes back.

    Opacus knows the usual layers by formula and differentiates the others; it sees a weight only
    where the layer that owns it runs. Memory: one gradient for each example.
    """

    left: ClassVar[str] = "grad_sample"  # where Opacus leaves what it computes for a weight
    what: ClassVar[str] = "per-example gradient"

    def __enter__(self) -> Self:
        """Put Opacus's hooks on the layers; the model is not wrapped, so its keys stay plain."""
        require_for_hooks(self.model)
        try:
            self._hooks = self._attach()
        except BaseException:
            self._clean()
            raise
        # Hooks fire on the way back to any weight of their layer: the smallest costs the least.
        own = [list(_trained(layer)) for layer in self.model.modules()]
        self._goals = [min(weights, key=nn.Parameter.numel) for weights in own if weights]
        return self

    def __exit__(self, *why: object) -> None:
        """Take hooks and all that they left behind off the model."""
        self._hooks.cleanup()
        self._clean()

    def of_slopes(
        self, inputs: tuple[Tensor, ...], outputs: Tensor, slopes: Tensor
    ) -> list[Tensor]:
        """Go back once; gradients of single examples are left on the weights."""
        self.require_apart(inputs, outputs)
        with silent():
            torch.autograd.grad(outputs, self._goals, slopes, allow_unused=True)
        found = [self._take(name, p) for name, p in self.params.items()]
        for _, p in self.model.named_parameters():
            p.grad_sample = None  # type: ignore[attr-defined]
        return clipped_sum(found, self.clip_norm)

    def _attach(self) -> Hooks:
        from opacus.grad_sample import GradSampleHooks

        return cast("Hooks", GradSampleHooks(self.model, loss_reduction="sum"))

    def _take(self, name: str, p: nn.Parameter) -> Tensor:
        """Return what Opacus left on a weight."""
        found = getattr(p, self.left, None)
        wanted = f"Each trained weight needs a {self.what} from its own layer"
        fix = "Use gradients='functorch', or freeze it by requires_grad_(False)"
        require(isinstance(found, Tensor), wanted, f"none for {name}", fix)
        return found  # type: ignore[return-value]

    def _clean(self) -> None:
        for layer in self.model.modules():
            for left in _LEFT_ON_LAYERS & vars(layer).keys():
                delattr(layer, left)
        for p in self.model.parameters():
            for left in _LEFT_ON_WEIGHTS & vars(p).keys():
                delattr(p, left)


_LEFT_ON_LAYERS = {
    "activations",
    "autograd_grad_sample_hooks",
    "ft_compute_sample_grad",
    "max_batch_len",
}
_LEFT_ON_WEIGHTS = {"grad_sample", "_current_grad_sample", "_forward_counter", "_norm_sample"}


def _trained(layer: nn.Module) -> Iterator[nn.Parameter]:
    return (p for p in layer.parameters(recurse=False) if p.requires_grad)


@contextmanager
def silent() -> Iterator[None]:
    """Keep torch from saying that the first layer's input needs no gradient, which is so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        yield
