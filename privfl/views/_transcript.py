"""A recorded round, seen from anywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from privfl.core import Party, Rows, State, Vantage
from privfl.views._view import Posted, View


@dataclass(frozen=True)
class Transcript:
    """Keep what crossed the wire and what each side learned, for `view`.

    Attributes:
        posted: every letter, in order.
        opened: the sums that the opener held.
        openers: the parties who opened them.
        release: (d,) what was published.
        states: what each party keeps.
    """

    posted: tuple[Posted, ...] = field(repr=False)
    opened: Rows | None = field(repr=False)
    openers: frozenset[Party]
    release: Tensor | None = field(repr=False)
    states: Mapping[Party, State] = field(default_factory=dict, repr=False)

    def view(self, vantage: Vantage) -> View:
        """Return what the parties of ``vantage`` have seen, and nothing else."""
        letters = tuple(
            post for post in self.posted if post.sender in vantage or post.receiver in vantage
        )
        opens = bool(self.openers & vantage.parties)
        states = {who: state for who, state in self.states.items() if who in vantage}
        return View(vantage, letters, self.opened if opens else None, self.release, states)
