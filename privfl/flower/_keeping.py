"""What a client keeps between two messages."""

from dataclasses import dataclass

from flwr.app import ConfigRecord, Context

from privfl.core import ProtocolAbort
from privfl.flower._letters import Kind
from privfl.flower._memory import Memory

VERSION = 1


@dataclass(frozen=True)
class Keeping:
    """Keep the state of a client's protocol side in Flower's ``Context.state``.

    Attributes:
        context: of the node.
        kind: of the rounds whose state it is.
        memory: what must outlive the context, or nothing.
    """

    context: Context
    kind: Kind
    memory: Memory | None

    def read(self) -> bytes:
        """Return what was kept after the last turn, empty before the first.

        Raises:
            ProtocolAbort: for what another version of privfl kept.
        """
        kept = self._kept()
        return kept if self.memory is None else self.memory.recall(self.kind, kept)

    def write(self, state: bytes) -> None:
        """Keep ``state``, which may hold secret keys, until the next turn."""
        self.context.state[self._name] = ConfigRecord({"version": VERSION, "kept": state})
        if self.memory is not None:
            self.memory.write(self.kind, state)

    def _kept(self) -> bytes:
        record = self.context.state.config_records.get(self._name)
        if record is None:
            return b""
        version, kept = record.get("version"), record.get("kept")
        if version != VERSION or not isinstance(kept, bytes):
            raise ProtocolAbort(f"This client's state is of version {version!r}")
        return kept

    @property
    def _name(self) -> str:
        return f"privfl.{self.kind}"
