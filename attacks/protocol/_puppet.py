"""A client that the server plays itself."""

import secrets as system
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from privfl.core import Advertisement, Occasion, Party
from privfl.core._advertisement import SEED_BYTES, Secrets
from privfl.core._letter import pieces
from privfl.core._masking_letters import BOX_BYTES, SHARE_BYTES, Masked
from privfl.core._roll import Roll
from privfl.core._subset import to_bits
from privfl.crypto import Identity, unseal


@dataclass(frozen=True)
class Puppet:
    """Advertise keys under a name, open the boxes that come for it, and sign whatever is asked.

    Attributes:
        identity: a corrupt client's own, or any, where nobody looks at signatures.
    """

    who: Party
    identity: Identity
    secrets: Secrets = field(repr=False)

    @classmethod
    def of(cls, who: Party, identity: Identity) -> "Puppet":
        """Draw fresh secrets for one sum."""
        return cls(who, identity, Secrets(*(system.token_bytes(SEED_BYTES) for _ in range(3))))

    def advertisement(self, occasion: Occasion) -> Advertisement:
        """Sign its keys."""
        return Advertisement.signed(self.secrets, self.who, occasion, self.identity)

    def boxes(self, roll: Roll) -> dict[Party, bytes]:
        """Send each neighbour a box that nobody opens: its secrets need no shares."""
        return {peer: system.token_bytes(BOX_BYTES) for peer in roll.peers_of(self.who)}

    def masked(self, roll: Roll, senders: Collection[Party]) -> Masked:
        """Send no vector, but sign that it masked one with ``senders``."""
        edges = to_bits(senders, roll.neighbors_of(self.who))
        return Masked(b"", edges, self.identity.sign(roll.edges_text(self.who, edges)))

    def opened(self, roll: Roll, boxes: Mapping[Party, bytes]) -> dict[Party, list[bytes]]:
        """Open boxes by sender: -> its shares of the mask seed and of the self seed."""
        found = {}
        for sender, box in boxes.items():
            key, text = roll.box(self.secrets.box_seed, self.who, sender, self.who)
            found[sender] = pieces(unseal(key, box, text), SHARE_BYTES, 2)
        return found
