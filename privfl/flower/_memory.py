"""What a client must not forget between two runs: a file of its own."""

from os import PathLike
from pathlib import Path

from privfl.checkpoint import read_checkpoint, write_checkpoint
from privfl.core import State
from privfl.flower._letters import Kind
from privfl.rounds import lasting, with_lasting


class Memory:
    """Keep in which sums a client was, where neither a new run nor a restart takes it away (R16).

    It holds hashes of models and nonces of rounds: no key, and nothing of the data.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        """Use the file at ``path``, which the first round makes."""
        self.path = Path(path)

    def recall(self, kind: Kind, kept: bytes) -> bytes:
        """Return what a client kept in this run, with what it knows from earlier ones."""
        known = self._known().get(kind)
        return kept if known is None else with_lasting(kept, known)

    def write(self, kind: Kind, kept: bytes) -> None:
        """Write what must last, where there is more of it than the file has."""
        known, now = self._known(), lasting(kept)
        if known.get(kind) != now:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_checkpoint(self.path, {**known, kind: now})

    def _known(self) -> dict[int | str, State]:
        if not self.path.exists():
            return {}
        return {
            name: value for name, value in read_checkpoint(self.path).items() if name != "version"
        }
