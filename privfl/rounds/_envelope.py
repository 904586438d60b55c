"""The outer letter: which session and stage a message belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass

from privfl.core import ProtocolAbort, State, decode, encode
from privfl.core._encoding import Blank, size_of


@dataclass(frozen=True)
class Envelope:
    """Wrap a protocol's letter.

    Attributes:
        session: which sum it belongs to.
        stage: which stage of the protocol.
        letter: the protocol's own bytes.
        opening: in the first letter of a pass, see `privfl.rounds.Opening`.
        outcome: with the opening: nonce of the last round in which the client was counted.
    """

    session: bytes
    stage: str
    letter: bytes
    opening: State = None
    outcome: State = None

    def to_bytes(self) -> bytes:
        """Write the envelope."""
        return encode((self.letter, self.session, self.stage, self.opening, self.outcome))

    @staticmethod
    def size(session: bytes, stage: str, letter: int, opening: State = None) -> int:
        """Return the length of an envelope around a letter of ``letter`` bytes."""
        return size_of((Blank(letter), session, stage, opening, None))

    @classmethod
    def read(cls, data: bytes) -> "Envelope":
        """Read an envelope, or abort."""
        state = decode(data)
        if not isinstance(state, tuple) or len(state) != 5:
            raise ProtocolAbort("A message that is no envelope")
        letter, session, stage, opening, outcome = state
        kinds = (isinstance(letter, bytes), isinstance(session, bytes), isinstance(stage, str))
        if not all(kinds):
            raise ProtocolAbort("An envelope whose entries are of another kind")
        return cls(session, stage, letter, opening, outcome)  # type: ignore[arg-type]


def fields(state: State) -> Mapping[int | str, State]:
    """Return a state that must be a mapping, or abort."""
    if not isinstance(state, Mapping):
        raise ProtocolAbort("A state without its fields")
    return state
