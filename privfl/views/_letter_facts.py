"""What the letters of one masked sum tell in public: never a word, a box or a share."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from privfl.core import Advertisement, Party, ProtocolAbort, decode
from privfl.core._advertisement import read_advertisements
from privfl.core._letter import Letter, pieces
from privfl.core._masking_letters import (
    SHARE_BYTES,
    UNKNOWN_SHARE,
    Advertise,
    Mask,
    Masked,
    Share,
    Sign,
    Unmask,
)
from privfl.core._roll import Roll
from privfl.core._subset import from_bits
from privfl.views._masked_sum import MaskedSum

Facts = Mapping[str, object]
KINDS: Mapping[str, type[Letter]] = {
    kind.kind(): kind for kind in (Advertise, Share, Mask, Sign, Unmask)
}


@dataclass
class _Told:
    """Remember what one client was told, which is needed to read its replies."""

    asked: str = ""
    roll: Roll | None = None
    senders: tuple[Party, ...] = ()
    survivors: tuple[Party, ...] = ()


class LetterFacts:
    """Read the letters of one sum in order, and say what each tells in public."""

    def __init__(self, numbers: MaskedSum) -> None:
        self.numbers = numbers
        self.told: dict[Party, _Told] = defaultdict(_Told)
        self.rolls: dict[Share, Roll] = {}

    def asks(self, who: Party, data: bytes) -> Facts:
        """Say what a letter to ``who`` tells.

        Raises:
            ProtocolAbort: for a letter of no known kind.
        """
        found = decode(data)
        word = found[0] if isinstance(found, tuple) and found else None
        kind = KINDS.get(word) if isinstance(word, str) else None
        if kind is None:
            raise ProtocolAbort("A letter of no kind that a masked sum has")
        letter = kind.read(data, largest=len(data))
        facts = self._asked(self.told[who], who, letter)
        self.told[who].asked = letter.kind()
        return {"what": letter.kind(), **facts}

    def _asked(self, told: _Told, who: Party, letter: Letter) -> Facts:
        members = self.numbers.members
        match letter:
            case Share():
                present = from_bits(letter.present, members)
                told.roll = self._roll(letter, present)
                return {"present": list(present), "relayed": sha256(letter.advertisements)}
            case Mask():
                told.senders = from_bits(letter.senders, _roll(told).neighbors_of(who))
                return {"senders": list(told.senders)}
            case Sign():
                told.survivors = from_bits(letter.survivors, members)
                return {"survivors": list(told.survivors), "relayed": sha256(letter.edges)}
            case Unmask():
                signers = from_bits(letter.signers, members)
                return {"signers": list(signers), "relayed": sha256(letter.signatures)}
        return {}

    def _roll(self, letter: Share, present: tuple[Party, ...]) -> Roll:
        """Make the roll that a letter shows; most clients are shown the same."""
        if letter not in self.rolls:
            keys = read_advertisements(letter.advertisements, present)
            self.rolls[letter] = self.numbers.roll(keys)
        return self.rolls[letter]

    def answers(self, who: Party, data: bytes) -> Facts:
        """Say what a reply of ``who`` to its last letter tells.

        Raises:
            ProtocolAbort: for a reply that fits no letter.
        """
        told = self.told[who]
        match told.asked:
            case "advertise":
                return {"what": "advertisement", **_keys(Advertisement.from_bytes(data))}
            case "share":
                return {"what": "boxes"}
            case "mask":
                found = Masked.read(data, largest=len(data))
                peers = from_bits(found.edges, _roll(told).neighbors_of(who))
                said = {"masked_with": list(peers), "signature": found.signature.hex()}
                return {"what": "masked", **said}
            case "sign":
                return {"what": "signature", "signature": data.hex()}
            case "unmask":
                return {"what": "shares", **_shares(told, who, data)}
        raise ProtocolAbort("A reply to no letter")


def sha256(data: bytes) -> str:
    """Return a hash in hex."""
    return hashlib.sha256(data).hexdigest()


def _roll(told: _Told) -> Roll:
    if told.roll is None:
        raise ProtocolAbort("A letter before the keys")
    return told.roll


def _keys(found: Advertisement) -> Facts:
    names = ("mask_key", "box_key", "commitment", "signature")
    return {name: getattr(found, name).hex() for name in names}


def _shares(told: _Told, who: Party, data: bytes) -> Facts:
    """Say of whom which secret's share was shown, by the list that the client had signed."""
    about = (who, *told.senders)
    shown = [
        peer
        for peer, piece in zip(about, pieces(data, SHARE_BYTES, len(about)), strict=True)
        if piece != UNKNOWN_SHARE
    ]
    counted = {who, *told.survivors}
    return {
        "self_masks": [peer for peer in shown if peer in counted],
        "mask_keys": [peer for peer in shown if peer not in counted],
    }
