"""The kind of part that says how updates travel."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from privfl.core import At, Cohort, Contract, Party, Plan, Rows, State
from privfl.crypto import Stream
from privfl.parts._part import Part

Replies = Iterable[tuple[Party, bytes]]


@dataclass(frozen=True)
class Turn:
    """Answer of one side of a protocol.

    Attributes:
        letters: one letter to send (a client), or one for each party addressed (the server).
        state: what this side keeps until its next turn: a value.
        rows: the opened sums, once this side holds them. A server whose clients open has neither
            letters nor rows in the end, and a state with the ``survivors``.
        contributed: whether the client may be counted from now on, so that this model has had its
            contribution (rule R16).
        rejected: parties whose reply could not be used, with the public reason.
        stage: the stage that the server's letters belong to.
        together: randomness that all who open draw alike, for what stands behind the protocol.
    """

    letters: bytes | Mapping[Party, bytes] = b""
    state: State = field(default=None, repr=False)
    rows: Rows | None = field(default=None, repr=False)
    contributed: bool = False
    rejected: Mapping[Party, str] = field(default_factory=dict)
    stage: str = ""
    together: Stream | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Exchange:
    """State how long a letter to the busiest client and its reply are, in bytes."""

    stage: str
    down: int
    up: int


class SumProtocol(Part):
    """Carry vectors from clients to the opener, both sides without any I/O.

    Each side is a function from a letter and a state to a letter and a state: no socket, no clock.
    """

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages in order, for ``drop=``, wires and reports."""
        return ("upload",)

    @property
    def uploads_in(self) -> str:
        """The stage in which clients are asked for their updates: there the model must be known."""
        return "upload"

    @property
    def signs(self) -> bool:
        """Whether clients sign letters, so that each needs an identity and the registry."""
        return False

    @property
    def shares_key(self) -> bool:
        """Whether all clients hold one key, so that any of them could open another's letter."""
        return False

    @property
    def corrupt(self) -> float:
        """The fraction of the clients that may work with the server, as declared."""
        return 0.1

    def min_survivors(self, n: int) -> int:
        """Return the fewest members in the smallest sum that anybody sees."""
        del n
        return 1

    def n_rows(self, n: int) -> int:
        """Return how many rows the aggregator gets from ``n`` clients."""
        return n

    def exchanges(self, plan: Plan, cohort: Cohort) -> "tuple[Exchange, ...]":
        """Return the letters of the busiest client when nobody drops out, for the plan's bytes.

        Nothing: the plan states no bytes.
        """
        del plan, cohort
        return ()

    def carry(self, state: State) -> State:
        """Return what of a client's state outlives the sum: keys, for one. Usually nothing."""
        del state
        return None

    def reply(self, letter: bytes, vector: Callable[[], Tensor], me: Party, at: At) -> Turn:
        """Take a client's turn. ``vector()`` asks for its update when it is needed."""
        raise NotImplementedError

    def collect(self, replies: Replies, at: At) -> Turn:
        """Take the server's turn; ``at.state`` None asks for the first letters."""
        raise NotImplementedError

    def check(self, given: Contract) -> Contract:
        """Move behind the clients, where what they did is undone."""
        return given.but(self, where="rows", form="real")

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        """Set the rows that the aggregator gets."""
        del contract, public
        return given.but(n_rows=self.n_rows(given.n_clients))
