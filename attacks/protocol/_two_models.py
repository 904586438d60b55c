"""Not everybody trains on the same model."""

from dataclasses import dataclass, replace

from torch import Tensor

from privfl.attacks.protocol._conversation import Conversation
from privfl.attacks.protocol._malicious_server import MaliciousServer
from privfl.attacks.protocol._steps import Steps
from privfl.core import Party


@dataclass(frozen=True)
class TwoModels(MaliciousServer):
    """Take an honest sum of updates to two models, whose other one teaches nobody anything.

    Whoever gets a model with dead units computes a gradient of zero; let only the victim get a
    live one, and the sum is its update, whatever masks it travelled under (Pasquini et al. 2022,
    "Eluding secure aggregation in federated learning via model inconsistency",
    https://arxiv.org/abs/2111.07380). The weights themselves travel outside of the letters.

    Stopped by: clients that hash the weights they were sent, refuse an opening that names others,
    and accept no keys that a peer signed for another hash (rule R20). Not stopped: one trapped
    model for all whose sum is the victim's alone, say because only it has examples of some class;
    a sum shows what a sum shows.

    Attributes:
        shown: the hash that the victim's opening names, where it is not that of the others.

    >>> TwoModels(shown=b"the live one")
    TwoModels(shown=b'the live one')
    """

    shown: bytes | None = None

    def _attack(self, talk: Conversation, victim: Party) -> Tensor | None:
        if self.shown is not None:
            lie = replace(talk.opening, model=self.shown)
            talk = talk.at(talk.opening, {victim: lie})
        return Steps(talk).summed(talk.members)
