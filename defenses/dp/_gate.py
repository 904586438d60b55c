"""Where a private model's output leaves it, and the slope of the loss comes back."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from privfl.core import require, weights_hash
from privfl.defenses.dp._per_sample import PerSample
from privfl.defenses.dp._prepaid import Prepaid
from privfl.defenses.dp._turn import Turn

Back = Callable[[Tensor], None]


class Gate:
    """Cut the graph at a model's output, and turn what comes back into clipped sums.

    The loss then reaches the weights only as the slope of each example's loss by its own output,
    so a user's loop stays as it is, and no gradient of single examples outlives its backward pass.
    """

    def __init__(
        self, model: nn.Module, work: PerSample, turn: Turn, prepaid: Prepaid | None
    ) -> None:
        """Put two hooks on the model itself; its layers get theirs in each forward pass."""
        self.model, self.work, self.turn, self.prepaid = model, work, turn, prepaid
        self._number, self._open, self._busy = 0, False, False
        self._handles = (
            model.register_forward_pre_hook(_Before(self)),
            model.register_forward_hook(_Behind(self), with_kwargs=True),
        )

    @staticmethod
    def of(model: nn.Module) -> "Gate | None":
        """Return the gate on a model that was made private before."""
        hooks = (hook for hook in model._forward_hooks.values() if isinstance(hook, _Behind))
        return next((hook.gate for hook in hooks), None)

    def remove(self) -> None:
        """Take all hooks off."""
        self.rest()
        for handle in self._handles:
            handle.remove()

    def bind(self) -> None:
        """Write down, at the end of a pass, which model the steps led to."""
        if self.prepaid is not None:
            self.prepaid.bind(weights_hash(self.model.state_dict()))

    @property
    def active(self) -> bool:
        """Whether a forward pass is one of training: evaluation passes untouched."""
        return self.model.training and torch.is_grad_enabled() and not self._busy

    def before(self) -> None:
        """Start a forward pass; an older one that nobody came back from is forgotten."""
        self.rest()
        self.work.__enter__()
        self._open = True

    def behind(self, inputs: tuple[object, ...], kwargs: object, output: object) -> Tensor:
        """Return ``output`` cut off from its graph, with a way back to it."""
        both = [*inputs, output]
        tensors = [x for x in both if isinstance(x, Tensor) and x.ndim]
        fits = len({len(x) for x in tensors}) == 1 and len(tensors) == len(both) > 1
        wanted = "A private model takes tensors and returns one, as many examples first as went in"
        found = ", ".join(type(x).__name__ for x in both)
        require(fits and not kwargs, wanted, found, "Pass arguments by place")
        self._number += 1
        number = self._number

        def back(slopes: Tensor) -> None:
            require(
                number == self._number, "The backward pass belongs to the last forward", "older"
            )
            self._back(inputs, output, slopes)  # type: ignore[arg-type]

        start = output.new_zeros((), requires_grad=True)  # type: ignore[attr-defined]
        return _Cut.apply(start, output.detach(), back)  # type: ignore[attr-defined, no-any-return, no-untyped-call]

    def _back(self, inputs: tuple[Tensor, ...], output: Tensor, slopes: Tensor) -> None:
        n = len(output)
        self._busy = True
        try:
            with torch.enable_grad():
                # the loss is a mean, so an example's own slope is n times what arrives
                sums = self.work.of_slopes(inputs, output, slopes * n) if n else self.work.nothing()
        finally:
            self._busy = False
            self.rest()
        self.turn.take(n, sums)

    def rest(self) -> None:
        """Take the layers' hooks off between passes, also after one that failed."""
        if self._open:
            self._open = False
            self.work.__exit__(None, None, None)


class _Cut(torch.autograd.Function):
    """Pass a value on; hand what comes back to a function."""

    @staticmethod
    def forward(ctx: Any, start: Tensor, value: Tensor, back: Back) -> Tensor:
        ctx.back = back
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[None, None, None]:
        ctx.back(*slopes)
        return None, None, None


class _Hook:
    """Hold the gate; a copy of the model, or a saved one, gets a hook that does nothing."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Nothing, ()


class _Before(_Hook):
    def __call__(self, model: nn.Module, inputs: object) -> None:
        if self.gate.active:
            self.gate.before()


class _Behind(_Hook):
    def __call__(
        self, model: nn.Module, inputs: tuple[object, ...], kwargs: object, output: object
    ) -> Tensor | None:
        return self.gate.behind(inputs, kwargs, output) if self.gate.active else None


class _Nothing:
    def __call__(self, *_: object) -> None:
        """Do nothing."""
