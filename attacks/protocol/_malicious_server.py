"""The shape of an attack on a masked sum."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor

from privfl.attacks.protocol._conversation import Conversation
from privfl.attacks.protocol._outcome import Outcome
from privfl.core import Party
from privfl.rounds import Line, Opening
from privfl.rounds._wires import Answer


class MaliciousServer(ABC):
    """Speak to real clients and try to learn the vector of one. Subclasses are frozen dataclasses.

    It holds what a server holds: the pipeline, the opening and the letters; and the identities of
    those clients that work with it, where it has such.

    >>> from privfl.attacks.protocol import LateWord
    >>> isinstance(LateWord(), MaliciousServer)
    True
    """

    def run(
        self, line: Line, clients: Mapping[Party, Answer], opening: Opening, victim: Party
    ) -> Outcome:
        """Attack one client: -> a guess at its vector, and who refused.

        Args:
            line: the pipeline, whose protocol is a masked sum.
            clients: each answers letters, as `privfl.rounds.direct` takes them.
            opening: of the (first) round.
            victim: whose vector is asked for.
        """
        talk = Conversation(line, clients, opening)
        guess = self._attack(talk, victim)
        return Outcome(guess, dict(talk.refused))

    @abstractmethod
    def _attack(self, talk: Conversation, victim: Party) -> Tensor | None:
        """Make the guess: -> (d,) int64, or None."""
