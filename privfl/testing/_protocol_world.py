"""A small round of a protocol, in which every letter can be changed or lost."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from privfl.core import Cohort, CompositionError, Party, ProtocolAbort
from privfl.crypto import Identity
from privfl.defenses.dp import Clip
from privfl.parts import Part, SumProtocol
from privfl.rounds import Line, Opening, Release, Round, Setting
from privfl.testing._law import demand
from privfl.testing._mail import TO_CLIENT, TO_SERVER, Change, Mail, unchanged
from privfl.testing._table import Table

LARGEST_COHORT = 64  # a protocol that serves no cohort up to here is refused


@dataclass(frozen=True)
class Played:
    """Hold what came of a round: its letters, and a release or the reason for none.

    ``repeated`` are the letters that a client answered a second time; ``before`` is what the server
    was and what each client kept before each exchange, ``kept`` what each keeps in the end.
    """

    mails: tuple[Mail, ...]
    release: Release | None
    why: str = ""
    repeated: tuple[Mail, ...] = ()
    before: tuple[tuple[Round, Mapping[Party, bytes]], ...] = field(default=(), repr=False)
    kept: Mapping[Party, bytes] = field(default_factory=dict, repr=False)

    @property
    def exchanges(self) -> int:
        """How often letters were sent."""
        return len(self.before)

    def went_silent(self, who: Party) -> bool:
        """Tell whether a client left a letter without an answer, as if it had dropped out."""
        got = {mail.exchange for mail in self.mails if mail.who == who and mail.way == TO_CLIENT}
        said = {mail.exchange for mail in self.mails if mail.who == who and mail.way == TO_SERVER}
        return got != said


@dataclass(frozen=True)
class World:
    """Hold a protocol where it can stand, and the updates (n, d) of as many clients.

    With ``seed`` None nonce and randomness are fresh, else they are those of a replay. ``number``
    counts the round, and ``kept`` is what each client keeps of the rounds before.
    """

    line: Line
    updates: Tensor = field(repr=False)
    seed: int | None = 0
    number: int = 0
    kept: Mapping[Party, bytes] = field(default_factory=dict, repr=False)

    @property
    def members(self) -> tuple[Party, ...]:
        """Names of the clients."""
        return tuple(range(len(self.updates)))

    @cached_property
    def opening(self) -> Opening:
        """The opening of every round that is played here."""
        nonce = None if self.seed is None else bytes([self.number] * 16)
        cohort, dim = Cohort(self.members), self.updates.shape[1]
        return Opening.fresh(self.line, cohort, dim, round=self.number, nonce=nonce)

    @cached_property
    def setting(self) -> Setting:
        """What both sides derive of it."""
        return Setting(self.line, self.opening)

    @cached_property
    def full(self) -> Played:
        """A round in which nothing is lost."""
        return self.play()

    @cached_property
    def identities(self) -> Mapping[Party, Identity]:
        """With which clients sign, where the protocol signs."""
        signs = self.line.protocol.signs
        return {who: Identity.new() for who in self.members} if signs else {}

    def but(self, updates: Tensor) -> "World":
        """Give the clients other updates."""
        return World(self.line, updates, self.seed)

    @cached_property
    def next(self) -> "World":
        """The next round of the same clients, whose protocol may remember the first."""
        return replace(self, number=self.number + 1, kept=self.full.kept)

    def fresh(self) -> "World":
        """Return this world with a nonce and randomness of its own."""
        return World(self.line, self.updates, seed=None)

    def play(
        self,
        change: Change = unchanged,
        *,
        as_bytes: bool = False,
        backwards: bool = False,
        twice: bool = False,
        start: int = 0,
    ) -> Played:
        """Play a round.

        Args:
            change: makes of each letter what arrives; None: it is lost.
            start: go on from before this exchange of the full round, which saves time.
            as_bytes: turn the server to bytes between any two exchanges, as clients always are.
            backwards: let the clients' replies arrive in the other order.
            twice: give each client each letter again, and keep which it answered.
        """
        table, release, why = Table(self, change, twice), None, "no release"
        try:
            round_ = self._from(start, table)
            while round_.letters:
                table.before.append((round_, dict(table.kept)))
                if as_bytes:
                    data = round_.to_bytes()
                    round_ = Round.from_bytes(self.line, data, registry=table.registry)
                replies = [*table.exchange(round_.letters)]
                round_ = round_.collect(reversed(replies) if backwards else replies)
            release = round_.release
        except ProtocolAbort as error:
            why = str(error)
        return Played(
            tuple(table.mails),
            release,
            why,
            tuple(table.repeated),
            tuple(table.before),
            dict(table.kept),
        )

    def _from(self, start: int, table: Table) -> Round:
        if not start:
            return Round.open(self.line, self.opening, registry=table.registry)
        round_, kept = self.full.before[start]
        table.kept, table.count = dict(kept), start - 1
        return round_

    def require_mean(self, played: Played, story: str) -> None:
        """Raise `LawBroken` if there is a release that is not the mean of its survivors."""
        if played.release is None:
            return
        counted = list(played.release.survivors)
        strangers = set(counted) - set(self.members)
        demand(bool(counted) and not strangers, f"{story}: counted are {counted}")
        wanted = self.updates[self.opening.cohort.index(counted)].double().mean(dim=0)
        gap = float((played.release.update.double() - wanted).abs().max())
        demand(
            gap <= self.tolerance,
            f"{story}: the release is {gap:.3g} from the mean of {counted}, more than "
            f"{self.tolerance:.3g}",
        )

    @cached_property
    def tolerance(self) -> float:
        """How far a mean may be moved: by a step or the planned error of all, and by the dtype."""
        step = self.setting.plans[self.line.protocol_at].step
        step += self.setting.plan.error * len(self.members)
        return step + 16 * torch.finfo(self.updates.dtype).eps * float(self.updates.abs().max())


def bounded(part: SumProtocol) -> Line:
    """Put a protocol where it can stand: alone, or behind a clip of norm 1.

    Raises:
        CompositionError: where it can stand in neither place.
    """
    places: tuple[tuple[Part, ...], ...] = ((part,), (Clip(1.0), part))
    refused: list[CompositionError] = []
    for parts in places:
        try:
            return Line(*parts)
        except CompositionError as error:
            refused.append(error)
    raise refused[-1]
