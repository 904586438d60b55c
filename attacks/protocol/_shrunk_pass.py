"""A later pass, of which so many are said to be gone that the bound on the others is wrong."""

from dataclasses import dataclass, replace

from torch import Tensor

from privfl.attacks.protocol._conversation import Conversation
from privfl.attacks.protocol._split_survivors import SplitSurvivors
from privfl.attacks.protocol._steps import Steps
from privfl.core import Party


@dataclass(frozen=True)
class ShrunkPass(SplitSurvivors):
    """Say after the first pass that honest clients are gone, then split the survivors of the next.

    Who takes a tenth of those who are left for corrupt counts too few: all corrupt ones stay. A
    quorum of fewer then fits twice into honest and corrupt ones together.

    Stopped by: numbers that follow from the whole cohort in every pass.

    >>> ShrunkPass()
    ShrunkPass(puppets={})
    """

    def _attack(self, talk: Conversation, victim: Party) -> Tensor | None:
        Steps(talk, self.puppets).masked()
        keep = {victim, *self.puppets}
        others = [who for who in talk.members if who not in keep]
        keep |= set(others[: talk.numbers.quorum - len(keep)])
        left = tuple(who for who in talk.members if who in keep)
        opening = replace(talk.opening, pass_index=talk.opening.pass_index + 1, present=left)
        return super()._attack(talk.at(opening), victim)
