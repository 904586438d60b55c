"""One pass more than a round has."""

from dataclasses import dataclass, replace

from torch import Tensor

from privfl.attacks.protocol._conversation import Conversation
from privfl.attacks.protocol._malicious_server import MaliciousServer
from privfl.attacks.protocol._steps import Steps
from privfl.core import Party


@dataclass(frozen=True)
class ExtraPass(MaliciousServer):
    """Repeat the last pass of a round without the victim, under the name of a further one.

    In a round of several passes a client answers once in each, on one model. A pass that asks for
    what the last one asked, of all but the victim, gives its vector by subtraction, as two rounds
    on one model would. The opening of a pass tells what everybody knows by then; the server may
    make that up.

    Stopped by: clients that know how many passes their pipeline has.

    Attributes:
        last: counted from 0, the last pass of an honest round.

    >>> ExtraPass(last=1)
    ExtraPass(last=1)
    """

    last: int = 1

    def _attack(self, talk: Conversation, victim: Party) -> Tensor | None:
        rest = tuple(who for who in talk.members if who != victim)
        for index in range(self.last):  # nobody opens their sums: vectors of the next do not wait
            Steps(talk.at(replace(talk.opening, pass_index=index))).masked()
        both = Steps(talk.at(replace(talk.opening, pass_index=self.last))).summed(talk.members)
        again = replace(talk.opening, pass_index=self.last + 1, present=rest)
        without = Steps(talk.at(again)).summed(rest)
        return None if both is None or without is None else both - without
