"""What a way of sampling answers."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from torch import Tensor

from privfl.core import Relation
from privfl.crypto import Stream


class Sampling:
    """Draw units for steps, and say what the draw is worth. Subclasses are frozen dataclasses.

    Whether a claim may rest on it depends on the adversary too: only against somebody who does not
    learn the sample (rule R12).

    Attributes:
        size_varies: whether the size of a sample is left to chance.
        independent: whether each step's sample is drawn by itself, so that a step that was not
            taken can be taken later; else a pass over all units is one draw.
        by_loss: whether what is drawn are candidates, among which the losses choose
            (`PowerOfChoice.chosen`).
    """

    size_varies: ClassVar[bool] = False
    independent: ClassVar[bool] = True
    by_loss: ClassVar[bool] = False

    @property
    def hides_n(self) -> bool:
        """Tell whether nothing depends on the number of units, so that it may be private."""
        return False

    def draws(self, n: int, steps: int, generator: Stream) -> Iterator[Tensor]:
        """Draw the units of each of ``steps`` steps, out of ``n``: yields (k,) int64.

        ``k`` may be 0 where sizes vary: an empty sample is a step too.
        """
        raise NotImplementedError

    def chosen(self, candidates: Tensor, losses: Sequence[float]) -> Tensor:
        """Return whom of the candidates (k,) their losses choose: all, unless ``by_loss``."""
        del losses
        return candidates

    def expected(self, n: int) -> float:
        """Return the public number by which a sum over a sample is divided (rule R3)."""
        raise NotImplementedError

    def steps_of(self, n: int) -> int:
        """Return how many steps go over ``n`` units once, on average."""
        return max(1, round(n / self.expected(n)))

    def accounted(
        self, event: object, n: int, steps: int, relation: Relation | str
    ) -> tuple[object, int]:
        """Return what ``steps`` releases of ``event``, each on its own sample, are: (event, count).

        Without a theorem for ``relation`` nothing is gained: the event comes back as it is.
        """
        del n, relation
        return event, steps

    def amplifies(self, relation: Relation | str) -> bool:
        """Tell whether a theorem makes the sampled event better, under a relation."""
        del relation
        return False
