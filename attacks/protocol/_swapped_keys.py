"""A man in the middle."""

from dataclasses import dataclass

from torch import Tensor

from privfl.attacks.protocol._conversation import Conversation
from privfl.attacks.protocol._malicious_server import MaliciousServer
from privfl.attacks.protocol._steps import Steps
from privfl.core import Party
from privfl.crypto import Identity


@dataclass(frozen=True)
class SwappedKeys(MaliciousServer):
    """Show the victim keys of the server's own making under the names of all others.

    Each mask that it adds is then between it and the server, and the boxes with the shares of its
    self mask are sealed to the server: after one vector, all is open (Bonawitz et al. 2017,
    https://eprint.iacr.org/2017/281, section 6.2, where a public-key infrastructure is assumed).

    Stopped by: a registry of the clients' public keys that does not come from the server.

    Attributes:
        identity: under which the made-up keys are signed: None takes a fresh one, a corrupt
            client's shows that it signs for itself only.

    >>> SwappedKeys()
    SwappedKeys(identity=None)
    """

    identity: Identity | None = None

    def _attack(self, talk: Conversation, victim: Party) -> Tensor | None:
        signer = self.identity or Identity.new()
        steps = Steps(talk, {who: signer for who in talk.members if who != victim})
        steps.masked()
        return steps.gathered.guess(victim, steps.sent)
