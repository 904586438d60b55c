"""Secure aggregation: the server learns a sum and no update."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from privfl.compression import as_integers
from privfl.core import (
    At,
    Cohort,
    CompositionError,
    Contract,
    Party,
    Plan,
    PlanError,
    State,
    require_count,
)
from privfl.core._ring import in_a_ring, ring_bits
from privfl.defenses.masking._client import ClientSide
from privfl.defenses.masking._exchanges import exchanges
from privfl.defenses.masking._notes import in_words, notes
from privfl.defenses.masking._server import ServerSide
from privfl.defenses.masking._sum import MaskedSum
from privfl.defenses.masking._threat_model import Safety, safety
from privfl.parts import Exchange, Part, Replies, SumProtocol, Turn
from privfl.parts._part import written


@dataclass(frozen=True, repr=False)
class SecAgg(SumProtocol):
    """Let the server learn the sum of those who stay, and nothing else about one of them.

    Bonawitz et al. 2017 (https://eprint.iacr.org/2017/281) with a consistency round, on the graph
    of Bell et al. 2020 (https://eprint.iacr.org/2020/704): each client adds a mask with each of its
    neighbours, which cancels in the sum, and one of its own. In the end the clients show the shares
    of either mask of each neighbour, never of both. Up to 100 clients everybody is a neighbour of
    everybody; above, of ``neighbors`` whom a hash of all keys draws.

    An update of real numbers is rounded by itself to 16 bits; write `Quantize` in front for others.

    Args:
        threshold: how many shares open a secret, and on the complete graph how many must stay;
            None: the smallest that is safe.
        neighbors: of each client, an even number; None: as many as are needed.
        corrupt: fraction of the clients that may work with the server.
        dropout: fraction that may vanish.

    Guarantees:
        - The result is the exact sum of the rounded updates of the survivors, or a `ProtocolAbort`.
        - A server that lies, with up to ``corrupt`` of the clients, learns the sum of at least
          ``min_survivors`` updates, those of its own clients among them, and nothing else. That
          holds for X25519, AES-128 and Ed25519 as they are believed to hold, and not against a
          later quantum computer (rule R19).
        - Not hidden: what a sum itself shows.

    >>> import torch
    >>> from privfl import Pipeline
    >>> from privfl.defenses.dp import Clip
    >>> shield = Pipeline(Clip(1.0), SecAgg(threshold=3))
    >>> print(shield.aggregate(torch.ones(4, 2) / 2, drop={1: "mask"}))
    3 of 4
    """

    threshold: int | None = None
    neighbors: int | None = None
    corrupt: float = 0.1
    dropout: float = 0.1

    stages: ClassVar[tuple[str, ...]] = ("advertise", "share", "mask", "unmask")
    uploads_in: ClassVar[str] = "mask"
    signs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse numbers that no cohort could make safe."""
        for name in ("threshold", "neighbors"):
            if getattr(self, name) is not None:
                require_count(name, getattr(self, name), least=2)

    def __repr__(self) -> str:
        """Return what was written: the numbers that are not the usual ones."""
        return written(self)

    def safety(self, n: int) -> Safety:
        """Return threshold, graph and quorum for ``n`` clients.

        Raises:
            ValueError: where that is not safe, with the smallest number that is.
        """
        return safety(
            n,
            threshold=self.threshold,
            neighbors=self.neighbors,
            corrupt=self.corrupt,
            dropout=self.dropout,
        )

    def min_survivors(self, n: int) -> int:
        """Return how many must stay: what clients enforce before they unmask anything."""
        try:
            return self.safety(n).min_survivors
        except ValueError as error:
            reason = f"{self!r} is not safe for {n} clients: {str(error).rstrip('.')}"
            fix = "Change its numbers, or leave them out to have the smallest safe ones"
            raise PlanError("R21", (self, n), reason, fix) from error

    def n_rows(self, n: int) -> int:
        """Return 1: the sum."""
        del n
        return 1

    def lower(self, given: Contract) -> tuple[Part, ...]:
        """Round real numbers before they are masked."""
        return as_integers(self, given)

    def check(self, given: Contract) -> Contract:
        """Show the opener the sum only."""
        if given.support == "private":
            support = given.author("support")
            raise CompositionError(
                "R32",
                (support, self),
                f"{self!r} adds coordinate by coordinate, and which ones {support!r} sends depends "
                "on data",
                "Use RandomK, whose coordinates everybody draws alike",
            )
        return super().check(given).but(self, sees="sum", rows="sum")

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        """State the ring, and how likely noise wraps around it."""
        return in_a_ring(super().plan(given, contract, public), self)

    def exchanges(self, plan: Plan, cohort: Cohort) -> tuple[Exchange, ...]:
        """Count keys, boxes, the masked vector, signatures and shares."""
        return exchanges(self.safety(len(cohort)), plan)

    def describe(self, plan: Plan, contract: Contract) -> str:
        """Say under which numbers the sum is masked, and for whom that holds."""
        del contract
        found = self.safety(plan.n_clients)
        return f"{in_words(found)}; a ring of {ring_bits(plan)} bits"

    def notes(self, plan: Plan, contract: Contract) -> tuple[str, ...]:
        """Say what masks do not stop."""
        return notes(self.safety(plan.n_clients), plan, contract)

    def reply(self, letter: bytes, vector: Callable[[], Tensor], me: Party, at: At) -> Turn:
        """Take a client's turn."""
        return ClientSide(MaskedSum.of(self, at), me, at).reply(letter, vector)

    def collect(self, replies: Replies, at: At) -> Turn:
        """Take the server's turn."""
        return ServerSide(MaskedSum.of(self, at), at).collect(replies)
