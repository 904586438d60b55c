"""The numbers of one masked sum, which both sides derive alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from privfl.core import Advertisement, At, Occasion, Party, ProtocolAbort
from privfl.core._ring import ring_bits
from privfl.core._roll import Roll
from privfl.crypto import packed_size, word_type
from privfl.defenses.masking._threat_model import Safety

if TYPE_CHECKING:
    from privfl.defenses.masking._secagg import SecAgg


@dataclass(frozen=True)
class MaskedSum:
    """State who sums what, under which threshold, in which ring."""

    members: tuple[Party, ...]
    safety: Safety
    bits: int
    dim: int
    occasion: Occasion

    @classmethod
    def of(cls, part: "SecAgg", at: At) -> "MaskedSum":
        """Derive the numbers from what both sides know.

        Raises:
            ProtocolAbort: where so few are left, in a group that was drawn, that no sum is safe.
        """
        members = at.cohort.members
        try:
            safety = part.safety(len(members))
        except ValueError as error:
            raise ProtocolAbort(f"No safe sum of {len(members)} clients: {error}") from error
        bits, dim = ring_bits(at.plan), at.plan.dim
        occasion = Occasion.of(
            at.session,
            at.model,
            threshold=safety.threshold,
            neighbors=safety.neighbors,
            quorum=safety.quorum,
            bits=bits,
            dim=dim,
        )
        return cls(members, safety, bits, dim, occasion)

    def roll(self, keys: Mapping[Party, Advertisement]) -> Roll:
        """Make the roll of those who advertised."""
        return Roll.of(self.occasion, self.members, self.safety.neighbors, keys)

    @property
    def packed_bytes(self) -> int:
        """Length of a masked vector."""
        return packed_size(self.dim, self.bits)

    @cached_property
    def word(self) -> "np.dtype[np.unsignedinteger]":
        """The machine word that holds a number of the ring."""
        return word_type(self.bits)

    def require_enough(self, left: int, stage: str) -> None:
        """Abort below the fewest survivors."""
        needed = self.safety.min_survivors
        if left < needed:
            raise ProtocolAbort(f"{left} clients are left at {stage}, {needed} are needed")
