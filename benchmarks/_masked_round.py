"""One client's turns of a masked round, to be taken again, and a slice of the server's work."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from privfl import Pipeline
from privfl.core import Advertisement, Registry
from privfl.core._advertisement import Secrets
from privfl.core._subset import to_bits
from privfl.crypto import Identity, Stream, split
from privfl.crypto._identity import _verified
from privfl.defenses.masking import SecAgg
from privfl.defenses.masking._server import ServerSide
from privfl.defenses.masking._sum import MaskedSum
from privfl.rounds import Opening, Round, Setting, direct, drive, respond
from privfl.rounds._envelope import Envelope


@dataclass(frozen=True)
class Recorded:
    """One client's turn: the letter, what it kept before it, and its reply."""

    letter: bytes
    kept: bytes
    reply: bytes


class OneClient:
    """Play a whole round in this process and keep the turns of its first client."""

    def __init__(self, line: Pipeline, n: int, d: int) -> None:
        self.line, self.update = line, (torch.zeros(d), {})
        self.keys = [Identity.new() for _ in range(n)]
        self.registry = Registry({who: key.public for who, key in enumerate(self.keys)})
        self.kept = [b""] * n
        self.turns: list[Recorded] = []
        opening = Opening.fresh(line, n, d)
        answers = {who: self._answer(who) for who in range(n)}
        drive(Round.open(line, opening, registry=self.registry), direct(answers))

    def _answer(self, who: int) -> Callable[[bytes], bytes]:
        def answer(letter: bytes) -> bytes:
            before = self.kept[who]
            reply, self.kept[who] = self._respond(who, letter, before)
            if who == 0:
                self.turns.append(Recorded(letter, before, reply))
            return reply

        return answer

    def _respond(self, who: int, letter: bytes, kept: bytes) -> tuple[bytes, bytes]:
        key, registry = self.keys[who], self.registry
        return respond(
            self.line, who, letter, kept, lambda: self.update, identity=key, registry=registry
        )

    def again(self, turns: Sequence[int], *, known: bool = False) -> float:
        """Take some turns once more: -> seconds. No signature is known to it, or all are."""
        if not known:
            _verified.cache_clear()
        start = time.process_time()
        for turn in turns:
            self._respond(0, self.turns[turn].letter, self.turns[turn].kept)
        return time.process_time() - start

    def letter_of_turn(self, turn: int) -> bytes:
        """Return what it answered, out of its envelope."""
        return Envelope.read(self.turns[turn].reply).letter


class ServerSlice:
    """The server of a round of which a tenth is gone, as it rebuilds every ``step``-th secret."""

    def __init__(self, line: Pipeline, part: SecAgg, n: int, step: int) -> None:
        setting = Setting(line, Opening.fresh(line, n, 1))
        bare = MaskedSum.of(part, setting.at(line.protocol_at, Stream()))
        drawn = [Secrets(*(secrets.token_bytes(32) for _ in range(3))) for _ in range(n)]
        identity = Identity.new()  # who signed is not asked for here
        keys = {
            who: Advertisement.signed(mine, who, bare.occasion, identity)
            for who, mine in enumerate(drawn)
        }
        members, gone = tuple(range(n)), set(range(0, n, 10))
        some = [who for who in members if who // 10 % step == 0]  # tens, one of each is gone
        state = {
            "present": to_bits(members, members),
            "keys": b"".join(key.to_bytes() for key in keys.values()),
            "sharing": to_bits(some, members),
            "survivors": to_bits([who for who in members if who not in gone], members),
        }
        self.at = setting.at(line.protocol_at, Stream(), state)
        self.sum = MaskedSum.of(part, self.at)
        roll = self.sum.roll(keys)
        self.shares = {}
        for who in some:
            seed = drawn[who].mask_seed if who in gone else drawn[who].self_seed
            holders = [p for p in (*roll.neighbors_of(who), who) if p not in gone]
            points = [roll.point_of(holder) for holder in holders]
            self.shares[who] = split(int.from_bytes(seed, "big"), self.sum.safety.threshold, points)

    def masks(self) -> list[tuple[bytes, int]]:
        """Rebuild the secrets of the slice: -> the masks to take off."""
        return ServerSide(self.sum, self.at)._masks_left(self.shares)
