"""Steps that are written in the ledger before they are taken."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from privfl.core import Account, BudgetExceeded, Charge, Reservation
from privfl.defenses.dp._turn import Turn


@dataclass
class Prepaid:
    """Charge for steps ahead of them: in blocks of 1, 1, 2, 4, …, none past the end of a pass.

    A ledger writes to a disk for each charge, so writing each step would cost more than the step.
    What was paid for and not used serves the next pass; what was used was always paid before.
    Where a pass is one draw, its first step pays for all of it.

    Attributes:
        account: what is charged.
        price: what so many steps are charged, counted from the start of a pass.
        independent: whether each step is a draw of its own.
        pipeline: what the entries say acts.
        seeded: noise or draws come from a replay seed.
    """

    account: Account
    price: Callable[[int], Charge] = field(compare=False)
    one: Charge
    independent: bool
    pipeline: str
    seeded: bool
    _left: int = field(default=0, compare=False)
    _bought: int = field(default=0, compare=False)
    _pass: int = field(default=0, compare=False)
    _cautious: bool = field(default=False, compare=False)
    _process: int = field(default_factory=os.getpid, compare=False)
    _last: Reservation | None = field(default=None, compare=False)

    def pay(self, turn: Turn) -> None:
        """Make sure that the step on the batch in hand is paid for.

        Raises:
            BudgetExceeded: where not even this one step fits.
        """
        if self._process != os.getpid():  # after a fork, what was paid for is the parent's
            self._process, self._left, self._pass = os.getpid(), 0, 0
        if not self.independent:
            self._pay_pass(turn)
            return
        if not self._left:
            self._buy(turn.left)
        self._left -= 1

    def bind(self, model: bytes) -> None:
        """Write down the hash of the model that the steps so far led to."""
        if self._last is not None:
            self._last.bind(model=model)

    def _pay_pass(self, turn: Turn) -> None:
        if turn.passes != self._pass:
            self._reserve(turn.left)
            self._pass = turn.passes

    def _buy(self, left: int) -> None:
        block = 1 if self._cautious else min(max(1, self._bought), left)
        try:
            self._reserve(block)
        except BudgetExceeded:
            if block == 1:
                raise
            self._cautious, block = True, 1  # the budget is near: one by one up to the last step
            self._reserve(block)
        self._left, self._bought = block, self._bought + block

    def _reserve(self, steps: int) -> None:
        charges = [self.price(steps)]
        self._last = self.account.reserve(charges, pipeline=self.pipeline, seeded=self.seeded)
