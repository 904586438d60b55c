"""What the server does in an encrypted sum: it holds ciphertexts, and never a key."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

from torch import Tensor

from privfl.core import At, Party, ProtocolAbort, Rows, State
from privfl.core._encrypted_letters import (
    NO_KEY,
    Decrypt,
    Encrypt,
    Encrypted,
    Handed,
    HandOut,
    Opened,
    Present,
)
from privfl.core._letter import HEAD_BYTES, SIGNATURE_BYTES, pieces
from privfl.core._subset import to_bits
from privfl.defenses.he._key import KEY_BOX_BYTES, Card
from privfl.defenses.he._numbers import Numbers, digest_of, digests_of
from privfl.lattice import RunningSum
from privfl.parts import Replies, Turn
from privfl.parts._sides import Server


@dataclass(frozen=True)
class ServerSide(Server):
    """Take one turn of the server. A reply that does not fit is rejected by name."""

    sum: Numbers
    at: At = field(repr=False)
    rejected: dict[Party, str] = field(default_factory=dict)

    def collect(self, replies: Replies) -> Turn:
        """Take the replies to the last letters."""
        if self.at.state is None:
            letters = dict.fromkeys(self.sum.members, Present().to_bytes())
            return Turn(letters, {"after": "advertise"}, stage="advertise")
        match self._kept["after"]:
            case "advertise":
                return self._after_advertise(replies)
            case "keys":
                return self._after_keys(replies)
            case "upload":
                return self._after_upload(replies)
        return self._after_decrypt(replies)

    # advertise: who holds which key

    def _after_advertise(self, replies: Replies) -> Turn:
        cards: dict[Party, Card] = {}
        for who, reply in replies:
            try:
                cards[who] = self._card(who, reply)
            except ProtocolAbort as error:
                self.rejected[who] = str(error)
        self.sum.require_enough(len(cards), "advertise")
        order = [who for who in self.sum.members if who in cards]
        key = self._most_held(cards, order)
        kept: dict[str, State] = {
            "present": to_bits(order, self.sum.members),
            "cards": b"".join(cards[who].to_bytes() for who in order),
        }
        if key != NO_KEY and all(card.key == key for card in cards.values()):
            return self._ask_to_encrypt(cards, key, None, kept)
        return self._ask_to_hand_out(cards, key, (), kept)

    def _card(self, who: Party, reply: bytes) -> Card:
        card, registry = Card.from_bytes(reply), self.at.registry
        if registry is not None and not card.is_signed_by(who, self.sum.occasion, registry):
            raise ProtocolAbort("a card that it did not sign for this sum")
        return card

    def _most_held(self, cards: Mapping[Party, Card], order: Iterable[Party]) -> bytes:
        """Return the key that most hold and nobody has used up, of several the first one's."""
        spent = {NO_KEY, *(card.spent for card in cards.values())}
        held = Counter(cards[who].key for who in order if cards[who].key not in spent)
        return held.most_common(1)[0][0] if held else NO_KEY

    # keys: those who lack it get it from one who holds it

    @cached_property
    def _cards(self) -> Mapping[Party, Card]:
        return self.sum.cards(self._bytes("cards"), self._bytes("present"))

    def _ask_to_hand_out(
        self,
        cards: Mapping[Party, Card],
        key: bytes,
        asked: tuple[Party, ...],
        kept: Mapping[str, State],
    ) -> Turn:
        """Ask the first holder who was not asked; where none is left, the first to make a key."""
        left = [who for who in cards if who not in asked]
        holders = [who for who in left if cards[who].key == key != NO_KEY]
        if not left:
            raise ProtocolAbort("No client handed a key out")
        giver, key = (holders[0], key) if holders else (left[0], NO_KEY)
        lacking = [who for who in _lacking(cards, key) if who != giver]
        letter = HandOut(
            key,
            to_bits(lacking, self.sum.members),
            b"".join(cards[who].to_bytes() for who in lacking),
        )
        kept = {**kept, "key": key, "asked": (*asked, giver)}
        return self._going("keys", {giver: letter.to_bytes()}, kept)

    def _after_keys(self, replies: Replies) -> Turn:
        key, asked = self._bytes("key"), cast("tuple[Party, ...]", self._kept["asked"])
        giver = asked[-1]
        lacking = [who for who in _lacking(self._cards, key) if who != giver]
        for who, reply in replies:
            try:
                found = Handed.read(reply, HEAD_BYTES + len(lacking) * KEY_BOX_BYTES)
                if key not in (NO_KEY, found.key):
                    raise ProtocolAbort("boxes of another key than it was asked for")
                boxes = dict(
                    zip(lacking, pieces(found.boxes, KEY_BOX_BYTES, len(lacking)), strict=True)
                )
                return self._ask_to_encrypt(self._cards, found.key, (giver, boxes), {})
            except ProtocolAbort as error:
                self.rejected[who] = str(error)
        return self._ask_to_hand_out(self._cards, key, asked, {})

    # upload: add up what cannot be read

    def _ask_to_encrypt(
        self,
        cards: Mapping[Party, Card],
        key: bytes,
        handed: tuple[Party, Mapping[Party, bytes]] | None,
        kept: Mapping[str, State],
    ) -> Turn:
        letters = dict.fromkeys(cards, Encrypt(key))
        if handed is not None:
            giver, boxes = handed
            holder, card = to_bits((giver,), self.sum.members), cards[giver].to_bytes()
            letters |= {who: Encrypt(key, holder, card, box) for who, box in boxes.items()}
        written = {who: letter.to_bytes() for who, letter in letters.items()}
        return self._going("upload", written, {**kept, "key": key})

    def _after_upload(self, replies: Replies) -> Turn:
        total = RunningSum(self.sum.ring)
        sent: dict[Party, tuple[bytes, bytes]] = {}
        for who, reply in replies:  # one at a time: a server holds one sum, whatever n
            try:
                sent[who] = self._added(total, who, reply)
            except ProtocolAbort as error:
                self.rejected[who] = str(error)
        self.sum.require_enough(len(sent), "upload")
        survivors = tuple(who for who in self.sum.members if who in sent)
        found = self._sum_letter(total, survivors, sent)
        letter = found.to_bytes()
        if not self.sum.part.publishes:
            return self._going(
                "decrypt", dict.fromkeys(survivors, letter), {"survivors": survivors}
            )
        return self._ask_to_open(survivors, letter, found.digest, ())

    def _sum_letter(
        self,
        total: RunningSum,
        survivors: tuple[Party, ...],
        sent: Mapping[Party, tuple[bytes, bytes]],
    ) -> Decrypt:
        proofs, seeds = (b"".join(sent[who][k] for who in survivors) for k in (0, 1))
        bits, words = to_bits(survivors, self.sum.members), total.words()
        if self.sum.part.publishes:
            packed = self.sum.pack(words[:, 0])
            return Decrypt(bits, proofs, packed, seeds, digest_of(packed))
        packed = self.sum.pack(words)
        return Decrypt(bits, proofs, packed, digest=digest_of(packed))

    def _added(self, total: RunningSum, who: Party, reply: bytes) -> tuple[bytes, bytes]:
        """Add one client's ciphertexts: -> the proof that it sent them, and their seeds."""
        found = Encrypted.read(reply, HEAD_BYTES + self.sum.parameters.bytes_up)
        digests = digests_of(found.words, found.seeds)
        text = self.sum.sent_text(who, self._bytes("key"), digests)
        if not self._signed(who, text, found.signature):
            raise ProtocolAbort("ciphertexts that it did not sign for this sum and key")
        if len(found.signature) != SIGNATURE_BYTES:
            raise ProtocolAbort("a signature of another length")
        total.add(self.sum.unpack_fresh(found.words, found.seeds), found.seeds)
        return digests + found.signature, found.seeds

    # decrypt: by those who hold the key

    def _ask_to_open(
        self, survivors: tuple[Party, ...], letter: bytes, digest: bytes, asked: tuple[Party, ...]
    ) -> Turn:
        """Ask one client for the result; the next one, should it not answer."""
        opener = next((who for who in survivors if who not in asked), None)
        if opener is None:
            raise ProtocolAbort("No client opened the sum")
        kept: Mapping[str, State] = {
            "survivors": survivors,
            "letter": letter,
            "digest": digest,
            "asked": (*asked, opener),
        }
        return self._going("decrypt", {opener: letter}, kept)

    def _after_decrypt(self, replies: Replies) -> Turn:
        survivors = cast("tuple[Party, ...]", self._kept["survivors"])
        if not self.sum.part.publishes:
            for who, reply in replies:
                try:
                    Opened.read(reply, HEAD_BYTES)
                except ProtocolAbort as error:
                    self.rejected[who] = str(error)
            return Turn({}, {"survivors": survivors}, rejected=self.rejected)
        for who, reply in replies:
            try:
                rows = Rows(self._result(who, reply)[None], (survivors,))
                return Turn(rows=rows, rejected=self.rejected)
            except ProtocolAbort as error:
                self.rejected[who] = str(error)
        asked = cast("tuple[Party, ...]", self._kept["asked"])
        return self._ask_to_open(survivors, self._bytes("letter"), self._bytes("digest"), asked)

    def _result(self, who: Party, reply: bytes) -> Tensor:
        found = Opened.read(reply, HEAD_BYTES + self.sum.part.result_bytes(self.sum.parameters))
        text = self.sum.result_text(who, self._bytes("digest"), found.result)
        if not self._signed(who, text, found.signature):
            raise ProtocolAbort("a result that it did not sign for this sum")
        return self.sum.part.from_bytes(found.result, self.sum.parameters)


def _lacking(cards: Mapping[Party, Card], key: bytes) -> list[Party]:
    return [who for who, card in cards.items() if card.key != key or key == NO_KEY]
