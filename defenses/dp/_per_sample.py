"""What every way of computing per-example gradients answers."""

from collections.abc import Collection
from typing import Self

import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from privfl.core import require
from privfl.defenses.dp._private_model import draws_at_random
from privfl.parts import Loss


class PerSample:
    """Compute the sum of clipped per-example gradients of a model's trained weights.

    Inside a ``with`` block: some ways put hooks on the model, and leaving takes them off.

    Attributes:
        params: the trained weights by name; sums come in their order.
    """

    def __init__(
        self, model: nn.Module, clip_norm: float, trained: Collection[nn.Parameter] | None = None
    ) -> None:
        """Take the weights that train: all with ``requires_grad``, or those of ``trained``."""
        self.model, self.clip_norm = model, clip_norm
        chosen = None if trained is None else {id(p) for p in trained}
        self.params = {
            name: p
            for name, p in model.named_parameters()
            if p.requires_grad and (chosen is None or id(p) in chosen)
        }
        require(bool(self.params), "A model needs weights to train", "none with requires_grad")
        self._apart = False

    def __enter__(self) -> Self:
        """Put hooks on the model, where there are any."""
        return self

    def __exit__(self, *why: object) -> None:
        """Take them off."""

    def of_loss(self, x: Tensor, y: Tensor, loss: Loss) -> list[Tensor]:
        """Return the clipped sum over examples of the gradient of each one's own loss."""
        if not len(x):
            return self.nothing()
        outputs = self.model(x)
        return self.of_slopes((x,), outputs, slopes_of(loss, outputs, y))

    def of_slopes(
        self, inputs: tuple[Tensor, ...], outputs: Tensor, slopes: Tensor
    ) -> list[Tensor]:
        """Do the same where each example's slope of its loss by its output is known.

        Args:
            inputs: what went into the model, examples first.
            outputs: (n, …) what came out, with its graph.
            slopes: (n, …) of the same shape.
        """
        raise NotImplementedError

    def nothing(self) -> list[Tensor]:
        """Return the sum over no examples."""
        return [torch.zeros_like(p) for p in self.params.values()]

    def require_apart(self, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        """Refuse a model whose output for one example depends on the others in its batch.

        Then the gradient of one example's loss is not all that this example moves. Looked at once,
        on the first example alone; a model that draws at random (dropout) cannot be compared.
        """
        if self._apart or len(outputs) < 2:
            return
        self._apart = True
        first = tuple(x[:1] for x in inputs)
        with torch.no_grad():
            alone = self._require_still(first)
            if draws_at_random(self.model) or _close(alone, outputs[:1]):
                return
            # functional dropout; sixteen masks of a single output may still agree, at 1e-5
            random = any(not _close(alone, self.model(*first)) for _ in range(16))
        wanted = "Each example's output must depend on that example only"
        found = "a model that mixes the examples of a batch"
        require(random, wanted, found, "Take means over features, not over dimension 0")

    def _require_still(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Run the model, and refuse one that keeps something of its inputs."""
        before = [(name, buffer, buffer.clone()) for name, buffer in self.model.named_buffers()]
        outputs: Tensor = self.model(*inputs)
        moved = [name for name, now, then in before if not torch.equal(now, then)]
        wanted = "What follows the data is a release without noise, and buffers stay as they are"
        require(not moved, wanted, f"moved in a forward pass: {', '.join(moved)}")
        return outputs


def _close(one: Tensor, other: Tensor) -> bool:
    """Compare up to rounding, which differs by batch size and by layer."""
    scale = float(one.abs().nan_to_num(0, 0, 0).max()) if one.numel() else 0.0
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4 * scale + 1e-6, equal_nan=True)


def slopes_of(loss: Loss, outputs: Tensor, y: Tensor) -> Tensor:
    """Return the slope of each example's own loss by its output: (n, …), (n, …) -> (n, …).

    Each loss is taken of a batch of one, so a mean that is weighted by the labels of the others
    cannot couple the examples.
    """

    def alone(output: Tensor, label: Tensor) -> Tensor:
        return loss(output.unsqueeze(0), label.unsqueeze(0))

    return vmap(grad(alone))(outputs.detach(), y)  # type: ignore[no-any-return]
