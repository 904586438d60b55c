"""What CKKS and BFV have in common: sums under a key that the clients share."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from privfl.core import At, Cohort, Contract, Plan, PlanError, State
from privfl.core import Party as Client
from privfl.core._ring import about_wrapping
from privfl.crypto import Stream
from privfl.defenses.he._client import ClientSide
from privfl.defenses.he._exchanges import exchanges
from privfl.defenses.he._notes import notes
from privfl.defenses.he._numbers import Numbers
from privfl.defenses.he._parameters import Parameters
from privfl.defenses.he._server import ServerSide
from privfl.lattice import Secret
from privfl.parts import Exchange, Replies, SumProtocol, Turn
from privfl.parts._part import written


class EncryptedSum(SumProtocol):
    """Let the server add up vectors that it cannot read. Subclasses are CKKS and BFV.

    Its sides are `ClientSide` and `ServerSide`; a scheme says how a vector becomes plaintexts and a
    sum of ciphertexts a vector again.
    """

    stages: ClassVar[tuple[str, ...]] = ("advertise", "keys", "upload", "decrypt")
    signs: ClassVar[bool] = True
    shares_key: ClassVar[bool] = True
    corrupt: ClassVar[float] = 0.0

    published: int
    fewest: int

    def __repr__(self) -> str:
        """Return what was written: the values that are not the usual ones."""
        return written(self)

    @property
    def publishes(self) -> bool:
        """Whether the result is handed to the server."""
        return bool(self.published)

    @property
    def rounds_per_key(self) -> int | None:
        """For how many rounds a key lasts; None: for ever, as exact sums do not wear it out."""
        return None

    def parameters(self, plan: Plan) -> Parameters:
        """Plan the ring for what stands in front of the protocol.

        Raises:
            PlanError: where no ring does.
        """
        raise NotImplementedError

    def to_blocks(self, vector: Tensor, parameters: Parameters, plan: Plan) -> NDArray[Any]:
        """Write a vector (d,) as plaintexts, a row each."""
        raise NotImplementedError

    def opened(
        self,
        secret: Secret,
        words: NDArray[np.uint64],
        parameters: Parameters,
        plan: Plan,
        flood: Stream,
    ) -> Tensor:
        """Decrypt a sum: (ciphertexts, 2, degree) words -> (d,).

        Raises:
            ProtocolAbort: where it does not decrypt to a sum of honest vectors.
        """
        raise NotImplementedError

    def to_bytes(self, total: Tensor, parameters: Parameters) -> bytes:
        """Write an opened sum."""
        raise NotImplementedError

    def from_bytes(self, data: bytes, parameters: Parameters) -> Tensor:
        """Read an opened sum.

        Raises:
            ProtocolAbort: for another length.
        """
        raise NotImplementedError

    def result_bytes(self, parameters: Parameters) -> int:
        """Return the length of an opened sum."""
        raise NotImplementedError

    def min_survivors(self, n: int) -> int:
        """Return how many must be left: clients open no smaller sum."""
        if n < self.fewest:
            raise PlanError(
                "R16",
                (self, n),
                f"{self!r} opens sums of at least {self.fewest}. Found {n} clients",
                "Use more clients",
            )
        return self.fewest

    def n_rows(self, n: int) -> int:
        """Return 1: the sum."""
        del n
        return 1

    def check(self, given: Contract) -> Contract:
        """Show the opener the sum only; the opener is who holds the key, or the server."""
        opener = "server" if self.publishes else "clients"
        return super().check(given).but(self, sees="sum", rows="sum", opener=opener)

    def exchanges(self, plan: Plan, cohort: Cohort) -> tuple[Exchange, ...]:
        """Count the letters of a round whose key exists."""
        return exchanges(self, self.parameters(plan), cohort)

    def notes(self, plan: Plan, contract: Contract) -> tuple[str, ...]:
        """Say who can decrypt."""
        return (*notes(self, self.parameters(plan), contract), *about_wrapping(plan))

    def carry(self, state: State) -> State:
        """Keep the key, and which one was used up: both outlive the sum."""
        kept = state if isinstance(state, Mapping) else {}
        lasting = {name: kept[name] for name in ("key", "spent") if name in kept}
        return lasting or None

    def reply(self, letter: bytes, vector: Callable[[], Tensor], me: Client, at: At) -> Turn:
        """Take a client's turn."""
        return ClientSide(Numbers.of(self, at), me, at).reply(letter, vector)

    def collect(self, replies: Replies, at: At) -> Turn:
        """Take the server's turn."""
        return ServerSide(Numbers.of(self, at), at).collect(replies)
