"""Per-example gradients by torch.func."""

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.func import functional_call, grad, vmap

from privfl.defenses.dp._clipped_sum import clipped_sum
from privfl.defenses.dp._per_sample import PerSample
from privfl.parts import Loss

Weights = Mapping[str, Tensor]


class ByVmap(PerSample):
    """Differentiate the whole model for each example, vectorised over the batch.

    Takes any layer, weights outside layers and shared weights, and examples cannot mix: each runs
    through the model alone. Memory: one gradient for each example.
    """

    def of_loss(self, x: Tensor, y: Tensor, loss: Loss) -> list[Tensor]:
        """Run forwards and backwards in one vectorised call."""

        def value(weights: Weights, x: Tensor, y: Tensor) -> Tensor:
            outputs = functional_call(self.model, dict(weights), (x.unsqueeze(0),))
            return loss(outputs, y.unsqueeze(0))

        if not len(x):
            return self.nothing()
        return self._summed(value, (x, y), randomness="different")

    def of_slopes(
        self, inputs: tuple[Tensor, ...], outputs: Tensor, slopes: Tensor
    ) -> list[Tensor]:
        """Run the model once more, now for each example alone."""
        self.require_apart(inputs, outputs)

        def value(weights: Weights, slope: Tensor, *inputs: Tensor) -> Tensor:
            one = tuple(x.unsqueeze(0) for x in inputs)
            output: Tensor = functional_call(self.model, dict(weights), one)
            return (output.squeeze(0) * slope).sum()

        # "error": a dropout mask drawn again would not be the one that the slopes belong to
        return self._summed(value, (slopes, *inputs), randomness="error")

    def _summed(
        self, value: Callable[..., Tensor], each: tuple[Tensor, ...], randomness: str
    ) -> list[Tensor]:
        weights = {name: p.detach() for name, p in self.params.items()}
        dims = (None, *(0 for _ in each))
        slope = vmap(grad(value), in_dims=dims, randomness=randomness)
        found: Weights = slope(weights, *each)
        return clipped_sum([found[name] for name in self.params], self.clip_norm)
