"""What a client keeps between two messages, in Flower's ``Context.state``."""

from flwr.app import ConfigRecord, Context

from privfl.core import ProtocolAbort

VERSION = 1


def kept(context: Context, kind: str) -> bytes:
    """Return what the client's protocol side kept after its last turn, empty before the first.

    Raises:
        ProtocolAbort: for what another version of privfl kept.
    """
    record = context.state.config_records.get(_name(kind))
    if record is None:
        return b""
    if record.get("version") != VERSION or not isinstance(record.get("kept"), bytes):
        raise ProtocolAbort(f"This client's state is of version {record.get('version')!r}")
    return record["kept"]  # type: ignore[return-value]


def keep(context: Context, kind: str, state: bytes) -> None:
    """Keep ``state``, which may hold secret keys, until the next turn."""
    context.state[_name(kind)] = ConfigRecord({"version": VERSION, "kept": state})


def _name(kind: str) -> str:
    return f"privfl.{kind}"
