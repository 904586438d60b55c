"""A server's end of a masked sum, letter by letter: who is told what is up to the attack."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from privfl.core import Occasion, Party
from privfl.core._letter import Letter
from privfl.core._masking_letters import Masked
from privfl.core._roll import Roll
from privfl.crypto import MaskKey, Stream, add_masks, packed_size, unpack, word_type
from privfl.rounds import Line, Opening, Setting, direct
from privfl.rounds._envelope import Envelope
from privfl.rounds._wires import Answer

Words = np.ndarray[tuple[int], np.dtype[np.unsignedinteger]]
HEAD_BYTES = 1 << 16  # of a masked vector's letter, besides the words


class Numbers(Protocol):
    """Name the public numbers of a masked sum; its part tells them for n clients."""

    threshold: int
    neighbors: int
    quorum: int


class _Masking(Protocol):
    def safety(self, n: int) -> Numbers: ...


@dataclass(frozen=True)
class Conversation:
    """Send letters in the envelopes of one session, and read what comes back.

    Everything it derives is public: the pipeline, the opening and what clients send.

    Attributes:
        told: who is shown another opening.
        refused: why clients aborted; shared by all conversations of one attack.
    """

    line: Line
    clients: Mapping[Party, Answer] = field(repr=False)
    opening: Opening
    told: Mapping[Party, Opening] = field(default_factory=dict)
    refused: dict[Party, str] = field(default_factory=dict)

    def at(self, opening: Opening, told: Mapping[Party, Opening] | None = None) -> "Conversation":
        """Open another session with the same clients, under other openings to those of ``told``."""
        return replace(self, opening=opening, told=told or {})

    def ask(self, stage: str, letters: Mapping[Party, Letter]) -> dict[Party, bytes]:
        """Send a letter to each, the first ones with the opening, and take the replies."""
        posted = {
            who: self._posted(who, stage, letter)
            for who, letter in letters.items()
            if who in self.clients
        }
        replies = direct(self.clients, self.refused)(posted)
        return {who: Envelope.read(reply).letter for who, reply in replies}

    def _posted(self, who: Party, stage: str, letter: Letter) -> bytes:
        opening = self.told.get(who, self.opening)
        state = opening.to_state() if stage == "advertise" else None
        return Envelope(opening.session, stage, letter.to_bytes(), state).to_bytes()

    @cached_property
    def _setting(self) -> Setting:
        return Setting(self.line, self.opening)

    @cached_property
    def members(self) -> tuple[Party, ...]:
        """Who takes part, in the order that points of shares and bits of lists follow."""
        return self._setting.at(self.line.protocol_at, Stream()).cohort.members

    @cached_property
    def numbers(self) -> Numbers:
        """Threshold, neighbours and quorum of these members."""
        return cast(_Masking, self.line.protocol).safety(len(self.members))

    @property
    def bits(self) -> int:
        """Bits of the ring."""
        return cast(int, self._setting.plans[self.line.protocol_at + 1].ring_bits)

    @property
    def dim(self) -> int:
        """Length of a masked vector."""
        return self._setting.plans[self.line.protocol_at].dim

    @cached_property
    def occasion(self) -> Occasion:
        """What keys and signatures are bound to."""
        rests_on = self.numbers
        return Occasion.of(
            self.opening.session,
            self.opening.model,
            threshold=rests_on.threshold,
            neighbors=rests_on.neighbors,
            quorum=rests_on.quorum,
            bits=self.bits,
            dim=self.dim,
        )

    def words(self, masked: Masked) -> Words:
        """Unpack a masked vector: -> (d,) words."""
        return unpack(masked.words, self.bits, self.dim, word_type(self.bits))

    def read_masked(self, reply: bytes) -> Masked:
        """Read a client's masked vector."""
        return Masked.read(reply, packed_size(self.dim, self.bits) + HEAD_BYTES)

    def without(self, words: Words, masks: list[MaskKey]) -> Tensor:
        """Take masks off: (d,) words -> (d,) int64, centred in the ring."""
        left = words.copy()
        add_masks(left, [(key, -sign) for key, sign in masks])
        wide = torch.from_numpy(left.astype(np.uint64).view(np.int64))
        return (wide << (64 - self.bits)) >> (64 - self.bits)

    def roll(self, keys: Mapping[Party, object]) -> Roll:
        """Make the roll of advertisements as they were relayed."""
        return Roll.of(self.occasion, self.members, self.numbers.neighbors, keys)  # type: ignore[arg-type]
