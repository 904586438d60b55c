"""What a client does in an encrypted sum."""

import hmac
import secrets as system
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar, cast

from torch import Tensor

from privfl.core import At, Party, ProtocolAbort, Rows, State, decode
from privfl.core._encrypted_letters import (
    DIGEST_BYTES,
    NO_KEY,
    Decrypt,
    Encrypt,
    Encrypted,
    Handed,
    HandOut,
    Opened,
    Present,
)
from privfl.core._letter import HEAD_BYTES, SIGNATURE_BYTES, Letter, pieces
from privfl.core._subset import from_bits
from privfl.crypto import public_key
from privfl.defenses.he._key import KEY_BOX_BYTES, Card, Handover, Key
from privfl.defenses.he._numbers import PROOF_BYTES, Numbers, Words, digest_of, digests_of
from privfl.lattice import SEED_BYTES
from privfl.parts import Turn
from privfl.parts._sides import Client

Kind = TypeVar("Kind", bound=Letter)


@dataclass(frozen=True)
class ClientSide(Client):
    """Take one turn of one client.

    What it keeps between two turns names the letters that it will answer next. The key alone
    outlives the sum.
    """

    sum: Numbers
    me: Party
    at: At = field(repr=False)

    def reply(self, letter: bytes, vector: Callable[[], Tensor]) -> Turn:
        """Answer the letter that is next."""
        match self._kept.get("next", "present"):
            case "present":
                self._read(Present, letter)
                return self._present()
            case "encrypt":
                if self._kind_of(letter) == HandOut.kind() and "handed" not in self._kept:
                    return self._hand_out(self._read(HandOut, letter))
                return self._encrypt(self._read(Encrypt, letter), vector)
            case "decrypt":
                return self._decrypt(self._read(Decrypt, letter))
        raise ProtocolAbort("A letter after the last one of a sum")

    def _read(self, kind: type[Kind], letter: bytes) -> Kind:
        return kind.read(letter, self._largest)

    def _kind_of(self, letter: bytes) -> State:
        found = decode(letter, self._largest)
        return found[0] if isinstance(found, tuple) and found else None

    @property
    def _largest(self) -> int:
        found = self.sum.parameters
        each = Card.SIZE + PROOF_BYTES + found.ciphertexts * SEED_BYTES
        return HEAD_BYTES + len(self.sum.members) * each + found.bytes_down

    @cached_property
    def _key(self) -> Key | None:
        return Key.of(self._kept.get("key"))

    @property
    def _spent(self) -> bytes:
        return cast("bytes", self._kept.get("spent", NO_KEY))

    def _lasting(self, key: Key) -> dict[Party, State]:
        return {"key": key.to_state(), "spent": self._spent}

    def _may_encrypt(self, key: Key) -> bool:
        rounds = self.sum.part.rounds_per_key
        return key.may_encrypt(self.at.round, self.at.pass_index, rounds)

    # present

    def _present(self) -> Turn:
        key, spent, box_seed = self._key, self._spent, system.token_bytes(32)
        if key is not None and not self._may_encrypt(key):
            spent, key = key.id, None
        card = Card(public_key(box_seed), NO_KEY if key is None else key.id, spent)
        kept: State = {
            "next": "encrypt",
            "box seed": box_seed,
            "key": None if key is None else key.to_state(),
            "spent": spent,
        }
        return Turn(card.signed(self.me, self.sum.occasion, self._identity).to_bytes(), kept)

    # keys

    def _hand_out(self, letter: HandOut) -> Turn:
        lacking = self.sum.cards(letter.cards, letter.lacking)
        key = self._key if letter.key != NO_KEY else Key.new(self.at.round)
        if key is None or (letter.key != NO_KEY and key.id != letter.key):
            raise ProtocolAbort("The server asks for a key that this client does not hold")
        boxes = [self._box(key, who, card) for who, card in lacking.items()]
        kept: State = {**self._kept, "key": key.to_state(), "handed": True}
        return Turn(Handed(key.id, b"".join(boxes)).to_bytes(), kept)

    def _box(self, key: Key, taker: Party, card: Card) -> bytes:
        """Seal the key for a member of this sum: the registry says whose card it is."""
        if not card.is_signed_by(taker, self.sum.occasion, self._registry):
            raise ProtocolAbort(f"Client {taker} did not sign its card for this sum")
        handover = Handover(self.sum.occasion, key.id, self.me, taker)
        return handover.seal(self._bytes("box seed"), card, key)

    # upload

    def _encrypt(self, letter: Encrypt, vector: Callable[[], Tensor]) -> Turn:
        key = self._key
        if key is None or key.id != letter.key:
            key = self._taken(letter)
        if key.id == self._spent or not self._may_encrypt(key):
            raise ProtocolAbort("The key was used for as many sums as its noise is made for")
        words, seeds = self._encrypted(key, vector())
        sent = digests_of(words, seeds)
        signature = self._identity.sign(self.sum.sent_text(self.me, key.id, sent))
        used = key.used(self.at.round, self.at.pass_index)
        kept: State = {**self._lasting(used), "next": "decrypt", "sent": sent}
        # what has left can be added up from now on, whatever becomes of this round (rule R16)
        return Turn(Encrypted(words, seeds, signature).to_bytes(), kept, contributed=True)

    def _taken(self, letter: Encrypt) -> Key:
        """Take the key from who hands it out: a member of this sum, by its signature."""
        holders = from_bits(letter.holder, self.sum.members)
        if len(holders) != 1:
            raise ProtocolAbort("The server names a key that this client was not given")
        card = Card.from_bytes(letter.card)
        if not card.is_signed_by(holders[0], self.sum.occasion, self._registry):
            raise ProtocolAbort(f"Client {holders[0]} did not sign its card for this sum")
        (box,) = pieces(letter.box, KEY_BOX_BYTES, 1)
        handover = Handover(self.sum.occasion, letter.key, holders[0], self.me)
        return handover.open(self._bytes("box seed"), card, box)

    def _encrypted(self, key: Key, vector: Tensor) -> tuple[bytes, bytes]:
        blocks = self.sum.part.to_blocks(vector, self.sum.parameters, self.at.plan)
        words, seeds = key.secret(self.sum.ring).encrypt(blocks)
        return self.sum.pack(words), seeds

    # decrypt

    def _decrypt(self, letter: Decrypt) -> Turn:
        survivors = from_bits(letter.survivors, self.sum.members)
        key = cast("Key", self._key)  # that this sum was encrypted under
        proofs = self._checked_proofs(survivors, letter, key)
        if not hmac.compare_digest(letter.digest, digest_of(letter.words)):
            raise ProtocolAbort("The encrypted sum was garbled on its way")
        words = self._ciphertexts(letter, proofs)
        name = digest_of(words.tobytes())  # of the very ciphertexts that are opened
        total = self._opened(words, name, key)
        kept: State = {**self._lasting(key), "next": "nothing"}
        if not self.sum.part.publishes:
            together = key.stream("behind", self.at.session, name)
            rows = Rows(total[None], (survivors,))
            return Turn(Opened().to_bytes(), kept, rows, together=together)
        result = self.sum.part.to_bytes(total, self.sum.parameters)
        text = self.sum.result_text(self.me, letter.digest, result)
        return Turn(Opened(result, self._identity.sign(text)).to_bytes(), kept)

    def _checked_proofs(
        self, survivors: tuple[Party, ...], letter: Decrypt, key: Key
    ) -> list[bytes]:
        """Abort unless enough members signed what they sent for this sum, and I am one of them."""
        self.sum.require_enough(len(survivors), "upload")
        proofs = pieces(letter.proofs, PROOF_BYTES, len(survivors))
        mine = dict(zip(survivors, proofs, strict=True)).get(self.me, b"")
        if mine[:-SIGNATURE_BYTES] != self._bytes("sent"):
            raise ProtocolAbort("The server says that I am gone, or sent something else")
        for who, proof in zip(survivors, proofs, strict=True):
            text = self.sum.sent_text(who, key.id, proof[:-SIGNATURE_BYTES])
            if not self._registry.has_signed(who, text, proof[-SIGNATURE_BYTES:]):
                raise ProtocolAbort(f"Client {who} did not sign what is said to be its vector")
        return proofs

    def _opened(self, words: Words, name: bytes, key: Key) -> Tensor:
        # the same ciphertexts get the same noise, so that to ask twice says nothing new, and no
        # others do: between two that share it, the noise would cancel
        stream = key.stream("flood", name)
        secret = key.secret(self.sum.ring)
        return self.sum.part.opened(secret, words, self.sum.parameters, self.at.plan, stream)

    def _ciphertexts(self, letter: Decrypt, proofs: list[bytes]) -> Words:
        if not self.sum.part.publishes:
            return self.sum.unpack_sum(letter.words)
        size = self.sum.parameters.ciphertexts * SEED_BYTES
        seeds = pieces(letter.seeds, size, len(proofs))
        for proof, each in zip(proofs, seeds, strict=True):
            if digest_of(each) != proof[DIGEST_BYTES : 2 * DIGEST_BYTES]:
                raise ProtocolAbort("Seeds that nobody signed")
        return self.sum.rebuild_sum(letter.words, seeds)
