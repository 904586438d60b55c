"""Two vectors under one mask."""

import secrets
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from privfl.attacks.protocol._conversation import Conversation
from privfl.attacks.protocol._malicious_server import MaliciousServer
from privfl.attacks.protocol._steps import Steps
from privfl.core import Party
from privfl.rounds import Opening


@dataclass(frozen=True)
class RepeatedMasks(MaliciousServer):
    """Subtract two masked vectors of the victim, and hope that its masks cancel.

    If they do, the guess is the difference of its vectors, with no share and no corrupt client:
    the two-time pad. A protocol whose keys outlive a session invites it.

    Stopped by: keys that are fresh for every sum and bound to its session (rules R22, R23).

    Attributes:
        across: two ``"rounds"``, or the two ``"passes"`` of one.

    >>> RepeatedMasks(across="passes")
    RepeatedMasks(across='passes')
    """

    across: Literal["rounds", "passes"] = "rounds"

    def _attack(self, talk: Conversation, victim: Party) -> Tensor | None:
        first, second = Steps(talk), Steps(talk.at(self._second(talk)))
        first.masked()
        second.masked()
        if victim not in first.sent or victim not in second.sent:
            return None
        words = (talk.words(steps.sent[victim]) for steps in (first, second))
        return talk.without(next(words) - next(words), [])

    def _second(self, talk: Conversation) -> Opening:
        opening = talk.opening
        if self.across == "passes":
            return replace(opening, pass_index=1)
        nonce = secrets.token_bytes(len(opening.nonce))
        return replace(opening, nonce=nonce, round=opening.round + 1)
