"""A server whose clients show it what they hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from privfl.attacks.protocol._conversation import Conversation
from privfl.attacks.protocol._malicious_server import MaliciousServer
from privfl.attacks.protocol._steps import Steps
from privfl.core import Party
from privfl.crypto import Identity


@dataclass(frozen=True)
class Collusion(MaliciousServer):
    """Put together what the boxes of corrupt clients hold, however little.

    ``threshold`` of them hold both secrets of everybody, and read every vector: nothing stops
    that, which is why a bound on them is declared. One less, and the polynomials of Shamir 1979
    (https://doi.org/10.1145/359168.359176) fit every secret alike: the guess is noise.

    Stopped by: a threshold above the number of corrupt clients, up to that number.

    Attributes:
        puppets: identities of the corrupt clients.

    >>> Collusion({"clinic-7": Identity.of(bytes(32))})
    Collusion(puppets={'clinic-7': Identity(3b6a27bc...)})
    """

    puppets: Mapping[Party, Identity] = field(default_factory=dict)

    def _attack(self, talk: Conversation, victim: Party) -> Tensor | None:
        steps = Steps(talk, self.puppets)
        steps.masked()
        return steps.gathered.daring().guess(victim, steps.sent)
