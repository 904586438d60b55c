"""Everything a part may know where it stands."""

import hashlib
from dataclasses import dataclass, field

from privfl.core._cohort import Cohort
from privfl.core._contract import Contract
from privfl.core._encoding import State
from privfl.core._plan import Plan
from privfl.core._registry import Registry
from privfl.crypto import Identity, Stream


@dataclass(frozen=True)
class At:
    """Give a part the public facts of its place, its state and its randomness.

    Attributes:
        cohort, plan, contract: who takes part, and the two folds in front of the part.
        round, pass_index: counted from 0.
        session: hash of pipeline, cohort, round and a fresh nonce: no two sums share one.
        occasion: the same for all sums of a round.
        model: hash of the weights that were broadcast, empty where the caller names none.
        public: what everybody knows of this part's past.
        state: what only the one who runs it remembers.
        generator: the caller's own randomness; noise comes from here.
        identity: with which the caller signs, where the protocol signs.
        registry: the public keys of the clients, known out of band.
    """

    cohort: Cohort
    plan: Plan
    contract: Contract
    round: int
    pass_index: int
    session: bytes
    occasion: bytes = b""
    model: bytes = b""
    public: State = None
    state: State = field(default=None, repr=False)
    generator: Stream = field(default_factory=Stream, repr=False)
    identity: Identity | None = field(default=None, repr=False)
    registry: Registry | None = field(default=None, repr=False)

    def shared(self, label: str) -> Stream:
        """Return randomness that every party of the round draws alike (signs, supports)."""
        material = (self.occasion or self.session) + f"shared/{label}/{self.pass_index}".encode()
        return Stream(hashlib.sha256(material).digest())
