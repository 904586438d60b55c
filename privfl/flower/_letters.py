"""What travels in a Flower message: one record, beside or instead of the app's own."""

from dataclasses import dataclass
from typing import Literal, cast

from flwr.app import Array, ArrayRecord, Message, RecordDict

from privfl.core import Party, ProtocolAbort, State, decode, encode
from privfl.flower._refusal import Reason, Refusal

RECORD = "privfl"
VERSION = 1  # of the head below
LARGEST_HEAD = 1 << 16  # bytes: a pipeline's text and a few names
Kind = Literal["hello", "train", "evaluate"]


@dataclass(frozen=True)
class Ask:
    """Carry a server's letter to a client.

    Attributes:
        kind: which of the app's functions the round is about; ``hello`` asks for a name.
        me: the client's name in the cohort.
        pipeline: what the server runs, as text.
        weighted_by: the metric by which the server's strategy weighs replies, or nothing.
        letter: of the protocol.
    """

    kind: Kind
    me: Party
    pipeline: str
    weighted_by: str
    letter: bytes

    def into(self, content: RecordDict) -> RecordDict:
        """Return ``content`` with this beside it."""
        head = encode((VERSION, self.kind, self.me, self.pipeline, self.weighted_by))
        record = ArrayRecord({"head": _array(head), "letter": _array(self.letter)})
        return RecordDict({**content, RECORD: record})

    @classmethod
    def of(cls, message: Message) -> "Ask":
        """Read what `into` wrote.

        Raises:
            ProtocolAbort: for anything else: a message that went around the guard, for one.
        """
        head = decode(_bytes(message, "head"), largest=LARGEST_HEAD)
        entries = head if isinstance(head, tuple) else ()
        version = entries[0] if entries else None
        if version != VERSION:
            raise ProtocolAbort(f"A message of version {version!r}, this is version {VERSION}")
        if not _readable(entries):
            raise ProtocolAbort("A message whose head cannot be read")
        _, kind, me, pipeline, weighted_by = cast("tuple[int, Kind, Party, str, str]", entries)
        return cls(kind, me, pipeline, weighted_by, _bytes(message, "letter"))


def answer(letter: bytes) -> RecordDict:
    """Return the content of a client's reply: its letter, and nothing else."""
    return RecordDict({RECORD: ArrayRecord({"letter": _array(letter)})})


def answered(reply: Message) -> bytes:
    """Return the letter in a client's reply.

    Raises:
        Refusal: for the error reply of a guarded client.
        ProtocolAbort: for any other error, or a reply without a letter.
    """
    if not reply.has_error():
        return _bytes(reply, "letter")
    code, sentence = reply.error.code, reply.error.reason or "no reason given"
    if code in list(Reason):
        raise Refusal(Reason(code), sentence)
    raise ProtocolAbort(sentence)


def with_content(message: Message, content: RecordDict) -> Message:
    """Return a new message to the same node, about the same thing, with another content."""
    about = message.metadata
    return Message(
        content, about.dst_node_id, about.message_type, ttl=about.ttl, group_id=about.group_id
    )


def without_ask(content: RecordDict) -> RecordDict:
    """Return what the app sent, as it was before `Ask.into`."""
    return RecordDict({name: record for name, record in content.items() if name != RECORD})


def _readable(head: tuple[State, ...]) -> bool:
    match head:
        case (_, "hello" | "train" | "evaluate", int() | str() as me, str(), str()):
            return not isinstance(me, bool)
    return False


def _array(data: bytes) -> Array:
    return Array("uint8", (len(data),), RECORD, data)


def _bytes(message: Message, name: str) -> bytes:
    record = message.content.array_records.get(RECORD)
    if record is None or name not in record:
        raise ProtocolAbort("A message that did not come through the guard")
    return record[name].data
