"""What the clients' machines get done in a round, in simulated time: nobody sleeps."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from privfl.core import Party
from privfl.crypto import Stream

if TYPE_CHECKING:
    from privfl.federation import Federation


class Machines:
    """Hold until when each party is busy, and what part of its work it gets done.

    A sum is a meeting: it begins when its last member is free, and ends when its last one is done.

    Attributes:
        until: simulated seconds since the federation began, by party.
    """

    def __init__(self, federation: "Federation", stream: Stream) -> None:
        """Begin a round with everybody free; chances are drawn from ``stream``."""
        self.federation, self.stream = federation, stream
        self.start, self.until = federation.clock, dict[Party, float]()
        self._shares = dict[Party, float]()

    @property
    def now(self) -> float:
        """When the last party is free."""
        return max(self.until.values(), default=self.start)

    def share(self, who: Party) -> float:
        """Draw, once a round, what part of its work a client gets done."""
        federation = self.federation
        if not federation.has_fleet or who not in federation.datasets:
            return 1.0
        if who not in self._shares:
            steps = federation.local.n_steps(len(federation.datasets[who][1]))
            chance = self.stream.child(f"machine/{who}")
            self._shares[who] = federation.fleet.share(who, steps, chance)
        return self._shares[who]

    def lost(self, members: Sequence[Party]) -> set[Party]:
        """Return those whom nobody waits for."""
        partly = self.federation.algorithm.keeps_partial_work
        shares = {who: self.share(who) for who in members}
        return {who for who, share in shares.items() if share == 0 or (share < 1 and not partly)}

    def meet(self, members: Sequence[Party]) -> float:
        """Let ``members`` wait for one another: -> when they begin."""
        begin = max((self.until.get(who, self.start) for who in members), default=self.now)
        self.until |= dict.fromkeys(members, begin)
        return begin

    def work(self, who: Party, steps: int) -> None:
        """Let a party be busy with so many steps."""
        seconds = steps / self.federation.fleet.device(who).speed
        self.until[who] = self.until.get(who, self.start) + seconds

    def done(self, members: Sequence[Party], lost: Collection[Party], begins: float) -> float:
        """Return when the last reply is there, or nobody waits any longer."""
        fleet = self.federation.fleet
        heard = (who for who in members if who not in lost)
        times = [self.until[who] + fleet.device(who).delay for who in heard]
        if lost and fleet.deadline is not None:
            times.append(begins + fleet.deadline)
        return max(times, default=begins)

    def end(self, members: Sequence[Party], at: float) -> None:
        """Let ``members`` all be free at one time."""
        self.until |= dict.fromkeys(members, at)
