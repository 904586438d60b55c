"""Two sums that differ by one client."""

import secrets
from dataclasses import dataclass, replace

from torch import Tensor

from privfl.attacks.protocol._conversation import Conversation
from privfl.attacks.protocol._malicious_server import MaliciousServer
from privfl.attacks.protocol._steps import Steps
from privfl.core import Party


@dataclass(frozen=True)
class AskedTwice(MaliciousServer):
    """Sum everybody's updates on a model, then those of all but the victim on the same model.

    Both rounds are honest in themselves; the difference is one update.

    Stopped by: clients that take part once in a session and once on a model (rule R16). Who has no
    hash of the model, or whose opening names none, cannot tell that it is asked again.

    Attributes:
        replay: whether the second round is the first one again, nonce and all.

    >>> AskedTwice(replay=True)
    AskedTwice(replay=True)
    """

    replay: bool = False

    def _attack(self, talk: Conversation, victim: Party) -> Tensor | None:
        first, opening = talk.opening, talk.opening
        if not self.replay:
            opening = replace(first, nonce=secrets.token_bytes(len(first.nonce)))
        both = Steps(talk).summed(talk.members)
        rest = Steps(talk.at(opening)).summed(who for who in talk.members if who != victim)
        return None if both is None or rest is None else both - rest
