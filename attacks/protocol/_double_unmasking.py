"""Both secrets of one client, by asking twice."""

from dataclasses import dataclass

from torch import Tensor

from privfl.attacks.protocol._conversation import Conversation
from privfl.attacks.protocol._malicious_server import MaliciousServer
from privfl.attacks.protocol._steps import Steps
from privfl.core import Party


@dataclass(frozen=True)
class DoubleUnmasking(MaliciousServer):
    """Have the shares with the victim counted, then ask again as if it were gone.

    The first answers open its self mask, the second ones its mask key: nothing is left on its
    vector (Bonawitz et al. 2017, https://eprint.iacr.org/2017/281, section 6).

    Stopped by: clients that show shares once, and then never again for this sum.

    >>> DoubleUnmasking()
    DoubleUnmasking()
    """

    def _attack(self, talk: Conversation, victim: Party) -> Tensor | None:
        steps = Steps(talk)
        steps.masked()
        steps.open(steps.sent)
        steps.open(set(steps.sent) - {victim})
        return steps.gathered.guess(victim, steps.sent)
