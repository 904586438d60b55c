"""The batch in hand: what was drawn, and whether it was stepped on."""

from dataclasses import dataclass, field

from torch import Tensor

from privfl.core import require


@dataclass
class Turn:
    """Follow one batch from the loader, through the backward pass, to the step.

    Attributes:
        drawn: how many records the loader drew last; None when they were stepped on.
        passes: how many passes over the loader were begun.
        left: steps from this one to the end of the pass, itself included.
    """

    drawn: int | None = None
    passes: int = 0
    left: int = 0
    _back: tuple[int, list[Tensor]] | None = field(default=None, repr=False)

    def deal(self, drawn: int, left: int) -> None:
        """Take note of a fresh batch."""
        self.drawn, self.left, self._back = drawn, left, None

    def take(self, n: int, sums: list[Tensor]) -> None:
        """Take the clipped sums of a backward pass over ``n`` examples."""
        again = self._back is not None
        fix = "Draw larger batches; gradients='ghost' needs the least memory"
        require(not again, "A batch takes one backward pass", "a second one", fix)
        if self.drawn is not None:
            self._back = n, sums

    def play(self) -> list[Tensor]:
        """Return the sums of the batch in hand, once."""
        require(
            self.drawn is not None,
            "Each step takes a fresh batch from the loader that make_private returned",
            "none since the last step",
            "A second step on one batch is a release that nobody accounted",
        )
        require(
            self._back is not None,
            "A step takes a backward pass through the model, in training mode, of the batch drawn",
            "none",
        )
        n, sums = self._back  # type: ignore[misc]
        wanted = "A step takes one gradient for each record that the loader drew"
        # how many they are is private
        require(n == self.drawn, wanted, "another number", "Pass the batch on as it came")
        self.drawn, self._back = None, None
        return sums
