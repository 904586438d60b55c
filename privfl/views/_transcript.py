"""A recorded round, seen from anywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from privfl.core import SERVER, Party, Registry, Rows, State, Vantage
from privfl.rounds import Line
from privfl.views._round_log import head_of, round_log
from privfl.views._view import Posted, View


@dataclass(frozen=True)
class Transcript:
    """Keep what crossed the wire and what each side learned, for `view` and `write_log`.

    Attributes:
        posted: every letter, in order.
        opened: the sums that the opener held.
        openers: the parties who opened them.
        release: (d,) what came of it; what a server opens is published, what clients open is not.
        states: what each party keeps.
        pipeline: that ran the round.
        survivors: who is counted.
        registry: the public keys of the round, where its protocol signs.
    """

    posted: tuple[Posted, ...] = field(repr=False)
    opened: Rows | None = field(repr=False)
    openers: frozenset[Party]
    release: Tensor | None = field(repr=False)
    states: Mapping[Party, State] = field(default_factory=dict, repr=False)
    pipeline: Line | None = None
    survivors: tuple[Party, ...] | None = None
    registry: Registry | None = field(default=None, repr=False)

    def view(self, vantage: Vantage) -> View:
        """Return what the parties of ``vantage`` have seen, and nothing else."""
        letters = tuple(
            post for post in self.posted if post.sender in vantage or post.receiver in vantage
        )
        opens = bool(self.openers & vantage.parties)
        release = self.release if opens or SERVER in self.openers else None
        states = {who: state for who, state in self.states.items() if who in vantage}
        return View(vantage, letters, self.opened if opens else None, release, states)

    def to_log(self) -> tuple[str, ...]:
        """Return the public record of a masked round, a line of JSON a letter; see `round_log`.

        Raises:
            ValueError: for a pipeline that masks nothing.
        """
        if self.pipeline is None:
            raise ValueError("A log needs the pipeline of the round. Found None. Pass pipeline=.")
        return round_log(self.posted, self.pipeline, self.registry, self.survivors)

    def write_log(self, path: str | Path) -> str:
        """Write `to_log` to a file and return the hash of its last line, to be kept elsewhere."""
        lines = self.to_log()
        Path(path).write_text("".join(f"{line}\n" for line in lines))
        return head_of(lines)
