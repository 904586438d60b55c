"""A vector that comes after its sender was given up."""

from dataclasses import dataclass

from torch import Tensor

from privfl.attacks.protocol._conversation import Conversation
from privfl.attacks.protocol._malicious_server import MaliciousServer
from privfl.attacks.protocol._steps import Steps
from privfl.core import Party


@dataclass(frozen=True)
class LateWord(MaliciousServer):
    """Declare the victim gone though its vector came, and open its masks with all others.

    Nobody can tell it from a vector that was late in honest rounds, so nobody refuses
    (Bonawitz et al. 2017, https://eprint.iacr.org/2017/281, section 4.0.2).

    Stopped by: the self mask, whose shares are shown for nobody who is gone. The guess is noise.

    >>> LateWord()
    LateWord()
    """

    def _attack(self, talk: Conversation, victim: Party) -> Tensor | None:
        steps = Steps(talk)
        steps.masked()
        steps.open(set(steps.sent) - {victim})
        return steps.gathered.guess(victim, steps.sent)
