"""Two sets of survivors at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from privfl.attacks.protocol._conversation import Conversation
from privfl.attacks.protocol._malicious_server import MaliciousServer
from privfl.attacks.protocol._steps import Steps
from privfl.core import Party
from privfl.crypto import Identity


@dataclass(frozen=True)
class SplitSurvivors(MaliciousServer):
    """Tell half of the victim's neighbours that it is counted, and the other half that it is gone.

    Each half shows shares of one of its secrets, as it should, and the server has both
    (Bonawitz et al. 2017, https://eprint.iacr.org/2017/281, section 6.2).

    Stopped by: a quorum of all clients, which must have signed the very set that a client was
    told before it shows a share. Two sets cannot both have one.

    Attributes:
        puppets: identities of the corrupt clients, who sign either set.

    >>> SplitSurvivors()
    SplitSurvivors(puppets={})
    """

    puppets: Mapping[Party, Identity] = field(default_factory=dict)

    def _attack(self, talk: Conversation, victim: Party) -> Tensor | None:
        steps = self._steps(talk)
        steps.masked()
        if victim not in steps.sent:
            return None
        counted = frozenset(steps.said)
        near = [who for who in steps.roll.neighbors_of(victim) if who in steps.sent]
        gone = dict.fromkeys(near[::2], counted - {victim})
        told = dict.fromkeys([victim, *near[1::2]], counted) | gone
        steps.unmask(told, steps.sign(told))
        return steps.gathered.guess(victim, steps.sent)

    def _steps(self, talk: Conversation) -> Steps:
        return Steps(talk, self.puppets)
