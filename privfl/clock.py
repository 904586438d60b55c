"""Simulated time: nobody sleeps."""

from collections.abc import Sequence

from privfl.core import Party


class Clock:
    """Hold until when each party is busy, in simulated seconds since the federation began.

    A sum is a meeting: it begins when its last member is free and ends when its last one is done.
    """

    def __init__(self, start: float) -> None:
        """Begin with everybody free at ``start``."""
        self.start, self.until = start, dict[Party, float]()

    @property
    def now(self) -> float:
        """When the last party is free."""
        return max(self.until.values(), default=self.start)

    def meet(self, members: Sequence[Party]) -> float:
        """Let ``members`` wait for one another: -> when they begin."""
        begin = max((self.until.get(who, self.start) for who in members), default=self.now)
        self.until |= dict.fromkeys(members, begin)
        return begin

    def work(self, who: Party, seconds: float) -> None:
        """Let a party be busy for longer."""
        self.until[who] = self.until.get(who, self.start) + seconds

    def end(self, members: Sequence[Party], at: float) -> None:
        """Let ``members`` all be free at one time."""
        self.until |= dict.fromkeys(members, at)
