"""Clipped sums without per-example gradients."""

from collections import Counter
from typing import ClassVar, cast

import torch
from torch import Tensor

from privfl.core import require
from privfl.defenses.dp._by_hooks import ByHooks, Hooks, silent
from privfl.defenses.dp._clipped_sum import factors_of, joint


class ByGhost(ByHooks):
    """Let Opacus compute each example's norm on a first way back, and sum on a second one.

    Where linear layers and embeddings hold the weights, norms come without the gradients (Li et
    al. 2022, https://arxiv.org/abs/2110.05679), and both time and memory stay near plain training.
    A weight must be used once, by its own layer: the second way back would see uses that the norm
    does not.
    """

    left: ClassVar[str] = "_norm_sample"
    what: ClassVar[str] = "norm"

    def of_slopes(
        self, inputs: tuple[Tensor, ...], outputs: Tensor, slopes: Tensor
    ) -> list[Tensor]:
        """Go back twice; again without the examples whose gradient is not finite, if there are."""
        self.require_apart(inputs, outputs)
        self._require_used_once(outputs)
        norms = self._norms(outputs, slopes)
        kept = norms.isfinite()
        if not bool(kept.all()):  # zero times infinity is not zero
            return self._of_some(inputs, slopes, kept)
        factors = factors_of(norms, self.clip_norm).to(slopes.dtype)
        shape = (-1, *(1 for _ in slopes.shape[1:]))
        self._hooks.disable_hooks()
        weights = list(self.params.values())
        with silent():
            scaled = slopes * factors.view(shape)
            sums = torch.autograd.grad(outputs, weights, scaled, allow_unused=True)
        self._hooks.enable_hooks()
        return [torch.zeros_like(p) if g is None else g for p, g in zip(weights, sums, strict=True)]

    def _attach(self) -> Hooks:
        from opacus.grad_sample import GradSampleHooksFastGradientClipping

        norm = self.clip_norm
        hooks = GradSampleHooksFastGradientClipping(
            self.model, loss_reduction="sum", max_grad_norm=norm
        )
        return cast("Hooks", hooks)

    def _norms(self, outputs: Tensor, slopes: Tensor) -> Tensor:
        with silent():
            torch.autograd.grad(outputs, self._goals, slopes, retain_graph=True, allow_unused=True)
        norms = [self._take(name, p) for name, p in self.params.items()]
        for p in self.model.parameters():
            vars(p).pop(self.left, None)
        return joint(norms)

    def _of_some(self, inputs: tuple[Tensor, ...], slopes: Tensor, kept: Tensor) -> list[Tensor]:
        if not bool(kept.any()):
            return self.nothing()
        some = tuple(x[kept] for x in inputs)
        return self.of_slopes(some, self.model(*some), slopes[kept])

    def _require_used_once(self, outputs: Tensor) -> None:
        used = _uses(outputs)
        often = [name for name, p in self.params.items() if used[p] > 1]
        wanted = "Ghost clipping takes weights that are used once in a forward pass"
        require(not often, wanted, f"{', '.join(often)} used again", "Use gradients='functorch'")


def _uses(outputs: Tensor) -> "Counter[Tensor]":
    """Count how often each weight enters the graph of ``outputs``."""
    used: Counter[Tensor] = Counter()
    seen, ahead = set(), [outputs.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for before, _ in node.next_functions:
            weight = getattr(before, "variable", None)
            if weight is None:
                ahead.append(before)
            else:
                used[weight] += 1
    return used
