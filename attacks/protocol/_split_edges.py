"""A client that masks with those only who will be called gone."""

from dataclasses import dataclass

from torch import Tensor

from privfl.attacks.protocol._conversation import Conversation
from privfl.attacks.protocol._malicious_server import MaliciousServer
from privfl.attacks.protocol._steps import Steps
from privfl.core import Party


@dataclass(frozen=True)
class SplitEdges(MaliciousServer):
    """Show the victim the boxes of half of its neighbours, and call just those gone.

    Their mask keys are opened as a dropout's are, and with them every mask between the victim and
    somebody else. Its self mask is opened as a survivor's is: by the other half, who have its box.
    Everybody signs one set of survivors, so that a quorum alone does not see it; the graph of
    Bell et al. 2020 (https://eprint.iacr.org/2020/704) leaves enough others to open either.

    Stopped by: clients that sign with whom they masked, and compare: a neighbour who is counted
    must have masked with them just where they did with it.

    >>> SplitEdges()
    SplitEdges()
    """

    def _attack(self, talk: Conversation, victim: Party) -> Tensor | None:
        steps = Steps(talk)
        steps.advertise()
        near = steps.roll.neighbors_of(victim)
        lost = frozenset(near[::2])
        steps.share()
        steps.mask(lambda receiver, sender: receiver != victim or sender in lost)
        steps.open(set(steps.sent) - lost)
        return steps.gathered.guess(victim, steps.sent)
