"""A client among corrupt ones only."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from torch import Tensor

from privfl.attacks.protocol._conversation import Conversation
from privfl.attacks.protocol._malicious_server import MaliciousServer
from privfl.attacks.protocol._steps import Steps
from privfl.core import Party
from privfl.crypto import Identity

TRIES = 10_000  # graphs; each costs one signature and one hash, and a server could try 2^40


@dataclass(frozen=True)
class Isolation(MaliciousServer):
    """Leave the victim with corrupt neighbours alone, each of whose masks the server knows.

    Its self mask is opened by their shares and by its own, which every survivor shows. On a drawn
    graph corrupt clients first make keys until the draw puts them next to the victim.

    Stopped by: a client that goes on only with so many neighbours that one of them must be honest,
    and among so many members.

    Attributes:
        puppets: identities of the corrupt clients.
        at: where the others vanish. ``"share"``: their boxes do not arrive, nor the victim's at
            theirs; ``"advertise"``: their keys do not; ``"open"``: the opening says that they
            are gone already.

    >>> Isolation({"clinic-7": Identity.of(bytes(32))}, at="advertise").at
    'advertise'
    """

    puppets: Mapping[Party, Identity] = field(default_factory=dict)
    at: Literal["open", "advertise", "share"] = "share"

    def _attack(self, talk: Conversation, victim: Party) -> Tensor | None:
        alone = (victim, *self.puppets)
        if self.at == "open":
            left = tuple(who for who in talk.members if who in alone)
            talk = talk.at(replace(talk.opening, present=left))
        steps = Steps(talk, self.puppets)
        steps.advertise()
        self._place(steps, victim, None if self.at == "share" else alone)
        steps.share()
        steps.mask(lambda one, other: victim not in (one, other) or other in self.puppets)
        steps.open(steps.sent)
        return steps.gathered.guess(victim, steps.sent)

    def _place(self, steps: Steps, victim: Party, only: tuple[Party, ...] | None) -> None:
        """Draw puppets' keys until all of them are the victim's neighbours."""
        for _ in range(TRIES):
            steps.corrupt(self.puppets)
            steps.relay(only)
            if set(self.puppets) <= set(steps.roll.neighbors_of(victim)):
                return
