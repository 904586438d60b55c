"""What a malicious server comes home with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from privfl.core import Party


@dataclass(frozen=True)
class Outcome:
    """State what a server takes for the victim's vector, and who refused to go on.

    Whether a guess is right the server cannot know: masks that were not taken off leave noise.

    Attributes:
        guess: (d,) int64, in steps of the plan, centred in the ring; None where the victim said
            nothing to guess from.
        refused: the reasons of the clients that aborted.

    >>> Outcome(None, {"clinic-2": "My advertisement was changed or left out"}).guess is None
    True
    """

    guess: Tensor | None = field(repr=False)
    refused: Mapping[Party, str]
