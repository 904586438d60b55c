"""An optimizer whose steps are noised and paid for."""

from collections.abc import Callable
from typing import Any

import torch
from opacus.optimizers import DPOptimizer
from torch.optim import Optimizer

from privfl.core import require
from privfl.crypto import Stream
from privfl.defenses.dp._clipped_sum import add_noise_to_all
from privfl.defenses.dp._gate import Gate


class PrivateOptimizer(DPOptimizer):  # type: ignore[misc]
    """Step with the clipped sum of the batch in hand, noised and divided by the public size.

    It wraps any optimizer, as Opacus's does: parameter groups, state and schedulers are those of
    the one inside. Here sums come from the model's gate, noise from a `Stream`, and the charge is
    written before the noise is drawn.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        """Wrap ``optimizer``; `private` says how it steps."""
        super().__init__(optimizer, noise_multiplier=0.0, max_grad_norm=0.0, expected_batch_size=1)
        for p in self.params:
            del p.summed_grad  # the gate holds sums

    def private(self, gate: Gate, noise_multiplier: float, size: float, stream: Stream) -> None:
        """Say where sums come from, how they are noised and by what they are divided."""
        self.gate, self._stream = gate, stream
        self.noise_multiplier, self.max_grad_norm = noise_multiplier, gate.work.clip_norm
        self.expected_batch_size = size
        self._agreed = self._said

    @property
    def _said(self) -> tuple[float, float, float]:
        return self.noise_multiplier, self.max_grad_norm, self.expected_batch_size

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take one private step, on a batch that no step was taken on.

        Raises:
            ValueError: no fresh batch, gradients that did not come from it, or changed settings.
            BudgetExceeded: the step does not fit; the weights are as they were.
        """
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        self.pre_step()
        self.original_optimizer.step()
        self.zero_grad()
        return value

    def pre_step(self, closure: Callable[[], float] | None = None) -> bool:
        """Put noised gradients on the weights."""
        del closure
        self._require_only_what_was_agreed()
        sums = self.gate.turn.play()
        if self.gate.prepaid is not None:
            self.gate.prepaid.pay(self.gate.turn)
        std = self.noise_multiplier * self.max_grad_norm
        noisy = add_noise_to_all(sums, std, self._stream)
        for p, gradient in zip(self.gate.work.params.values(), noisy, strict=True):
            p.grad = gradient / self.expected_batch_size
        return True

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear gradients; sums are forgotten by the next batch."""
        self.original_optimizer.zero_grad(set_to_none)

    def _require_only_what_was_agreed(self) -> None:
        fix = "Call make_private again"
        require(self._said == self._agreed, "Settings are those that are charged", "others", fix)
        mine = [p for group in self.param_groups for p in group["params"] if p.requires_grad]
        released = self.gate.work.params.values()
        same = {id(p) for p in mine} == {id(p) for p in released}
        require(same, "The optimizer steps the weights that it was wrapped with", "others", fix)
        other = any(p.grad is not None and bool(p.grad.any()) for p in mine)
        fix = "Terms of weights alone belong in the optimizer, as weight_decay"
        wanted = "Gradients reach the weights through the model's output only"
        require(not other, wanted, "some that came another way", fix)
