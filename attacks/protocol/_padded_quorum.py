"""Signatures that are counted more often than they were made."""

from collections.abc import Mapping
from dataclasses import dataclass

from privfl.attacks.protocol._conversation import Conversation
from privfl.attacks.protocol._split_survivors import SplitSurvivors
from privfl.attacks.protocol._steps import Steps
from privfl.core import Party
from privfl.core._masking_letters import Unmask
from privfl.core._subset import to_bits


class _Padding(Steps):
    """Repeat the first signature until there is a quorum of them."""

    def proof(
        self,
        counted: frozenset[Party],
        told: Mapping[Party, frozenset[Party]],
        signed: Mapping[Party, bytes],
    ) -> Unmask:
        first = next(signed[who] for who in signed if told[who] == counted)
        named = [who for who in self.talk.members if who in counted][: self.talk.numbers.quorum]
        return Unmask(to_bits(named, self.talk.members), first * len(named))


@dataclass(frozen=True)
class PaddedQuorum(SplitSurvivors):
    """Split the survivors, and fill either quorum up with one signature, repeated.

    Stopped by: clients that check each signature under the key of the member it is counted for.

    >>> PaddedQuorum()
    PaddedQuorum(puppets={})
    """

    def _steps(self, talk: Conversation) -> Steps:
        return _Padding(talk, self.puppets)
