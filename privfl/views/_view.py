"""What a set of parties holds after a round."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from privfl.core import Party, Rows, State, Vantage


@dataclass(frozen=True)
class Posted:
    """Record one letter: who sent it, who it was for, and its bytes."""

    sender: Party
    receiver: Party
    letter: bytes = field(repr=False)


@dataclass(frozen=True)
class View:
    """Hold all that the parties of a vantage have seen of a round, and nothing else.

    Attributes:
        vantage: who looks.
        letters: every letter with an end among them, in order.
        rows: the sums that one of them opened, as opened; None where none of them opens.
        release: (d,) what was published, or None.
        states: what they keep, by party.
    """

    vantage: Vantage
    letters: tuple[Posted, ...] = ()
    rows: Rows | None = field(default=None, repr=False)
    release: Tensor | None = field(default=None, repr=False)
    states: Mapping[Party, State] = field(default_factory=dict, repr=False)
