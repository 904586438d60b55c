"""What the server does in a masked sum."""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import numpy as np
import torch
from torch import Tensor

from privfl.core import Advertisement, At, Party, ProtocolAbort, Rows, State
from privfl.core._advertisement import (
    SEED_BYTES,
    commitment_to,
    read_advertisements,
    write_advertisements,
)
from privfl.core._letter import HEAD_BYTES, SIGNATURE_BYTES, pieces
from privfl.core._masking_letters import (
    BOX_BYTES,
    SHARE_BYTES,
    UNKNOWN_SHARE,
    Advertise,
    Mask,
    Masked,
    Share,
    Sign,
    Unmask,
)
from privfl.core._ring import centred
from privfl.core._roll import Roll
from privfl.core._subset import from_bits, to_bits
from privfl.crypto import (
    add_masks,
    combine,
    public_key,
    share_from_bytes,
    unpack,
)
from privfl.defenses.masking._sum import MaskedSum
from privfl.parts import Replies, Turn
from privfl.parts._sides import Server

Words = np.ndarray[tuple[int], np.dtype[np.unsignedinteger]]


@dataclass(frozen=True)
class ServerSide(Server):
    """Take one turn of the server. A reply that does not fit is rejected by name."""

    sum: MaskedSum
    at: At = field(repr=False)
    rejected: dict[Party, str] = field(default_factory=dict)

    def collect(self, replies: Replies) -> Turn:
        """Take the replies to the last letters."""
        if self.at.state is None:
            letters = {who: Advertise().to_bytes() for who in self.sum.members}
            return Turn(letters, {"after": "advertise"}, stage="advertise")
        match self._kept["after"]:
            case "advertise":
                return self._after_advertise(replies)
            case "share":
                return self._after_share(replies)
            case "mask":
                return self._after_mask(replies)
            case "sign":
                return self._after_sign(replies)
        return self._after_unmask(replies)

    def _after_advertise(self, replies: Replies) -> Turn:
        keys: dict[Party, Advertisement] = {}
        for who, reply in replies:
            try:
                keys[who] = self._advertisement(who, reply)
            except ProtocolAbort as error:
                self.rejected[who] = str(error)
        self.sum.require_enough(len(keys), "advertise")
        present = to_bits(keys, self.sum.members)
        blob = write_advertisements(keys, self.sum.members)
        letter = Share(present, blob).to_bytes()
        return self._going("share", dict.fromkeys(keys, letter), {"present": present, "keys": blob})

    def _advertisement(self, who: Party, reply: bytes) -> Advertisement:
        made, registry = Advertisement.from_bytes(reply), self.at.registry
        if registry is not None and not made.is_signed_by(who, self.sum.occasion, registry):
            raise ProtocolAbort("keys that it did not sign for this session and model")
        return made

    @cached_property
    def _roll(self) -> Roll:
        present = from_bits(self._bytes("present"), self.sum.members)
        return self.sum.roll(read_advertisements(self._bytes("keys"), present))

    def _after_share(self, replies: Replies) -> Turn:
        boxes: dict[Party, dict[Party, bytes]] = {}
        for who, reply in replies:
            peers = self._roll.peers_of(who)
            try:
                boxes[who] = dict(zip(peers, pieces(reply, BOX_BYTES, len(peers)), strict=True))
            except ProtocolAbort as error:
                self.rejected[who] = str(error)
        self.sum.require_enough(len(boxes), "share")
        letters = {who: self._boxes_for(who, boxes).to_bytes() for who in boxes}
        return self._going("mask", letters, {"sharing": to_bits(boxes, self.sum.members)})

    def _boxes_for(self, who: Party, boxes: Mapping[Party, Mapping[Party, bytes]]) -> Mask:
        neighbors = self._roll.neighbors_of(who)
        senders = [peer for peer in neighbors if peer in boxes]
        return Mask(to_bits(senders, neighbors), b"".join(boxes[peer][who] for peer in senders))

    @cached_property
    def _sharing(self) -> tuple[Party, ...]:
        return from_bits(self._bytes("sharing"), self.sum.members)

    def _after_mask(self, replies: Replies) -> Turn:
        total = np.zeros(self.sum.dim, self.sum.word)
        said: dict[Party, bytes] = {}
        for who, reply in replies:  # one at a time: a server holds one word, whatever n
            try:
                words, said[who] = self._masked(who, reply)
            except ProtocolAbort as error:
                self.rejected[who] = str(error)
                continue
            total += words
        self.sum.require_enough(len(said), "mask")
        survivors = to_bits(said, self.sum.members)
        letters = {who: Sign(survivors, self._edges_for(who, said)).to_bytes() for who in said}
        kept: Mapping[str, State] = {"survivors": survivors, "total": _as_tensor(total)}
        return self._going("unmask", letters, kept, after="sign")

    def _masked(self, who: Party, reply: bytes) -> tuple[Words, bytes]:
        neighbors, sharing = self._roll.neighbors_of(who), set(self._sharing)
        width = len(to_bits((), neighbors))
        largest = self.sum.packed_bytes + width + 2 * SIGNATURE_BYTES + HEAD_BYTES
        found = Masked.read(reply, largest)
        if found.edges != to_bits(sharing & set(neighbors), neighbors):
            raise ProtocolAbort("a vector that is masked with others than it was told")
        if not self._signed(who, self._roll.edges_text(who, found.edges), found.signature):
            raise ProtocolAbort("a vector whose sender did not sign with whom it masked")
        if not self._signed(who, self._roll.words_text(who, found.words), found.seal):
            raise ProtocolAbort("a vector that its sender did not sign")
        try:
            words = unpack(found.words, self.sum.bits, self.sum.dim, self.sum.word)
        except ValueError as error:
            raise ProtocolAbort("a vector of another length, or outside the ring") from error
        return words, found.edges + found.signature

    def _edges_for(self, who: Party, said: Mapping[Party, bytes]) -> bytes:
        return b"".join(said[peer] for peer in self._roll.neighbors_of(who) if peer in said)

    @cached_property
    def _survivors(self) -> tuple[Party, ...]:
        return from_bits(self._bytes("survivors"), self.sum.members)

    def _after_sign(self, replies: Replies) -> Turn:
        text, signed = self._roll.survivors_text(self._survivors), {}
        for who, signature in replies:
            if len(signature) == SIGNATURE_BYTES and self._signed(who, text, signature):
                signed[who] = signature
            else:
                self.rejected[who] = "a signature over other survivors"
        self.sum.require_enough(len(signed), "unmask")
        shown = [who for who in self.sum.members if who in signed][: self.sum.safety.quorum]
        letter = Unmask(
            to_bits(shown, self.sum.members), b"".join(signed[who] for who in shown)
        ).to_bytes()
        return self._going("unmask", dict.fromkeys(signed, letter), {})

    def _after_unmask(self, replies: Replies) -> Turn:
        shares: dict[Party, dict[int, int]] = {who: {} for who in self._sharing}
        for who, reply in replies:
            try:
                self._file(who, reply, shares)
            except ProtocolAbort as error:
                self.rejected[who] = str(error)
        total = _as_words(cast("Tensor", self._kept["total"]), self.sum.word)
        add_masks(total, self._masks_left(shares))
        rows = Rows(centred(total, self.sum.bits)[None], (self._survivors,))
        return Turn(rows=rows, rejected=self.rejected)

    def _file(self, who: Party, reply: bytes, shares: Mapping[Party, dict[int, int]]) -> None:
        """Put each share of a reply where its owner's are gathered."""
        about = [who, *(peer for peer in self._roll.neighbors_of(who) if peer in shares)]
        point = self._roll.point_of(who)
        for owner, piece in zip(about, pieces(reply, SHARE_BYTES, len(about)), strict=True):
            if piece == UNKNOWN_SHARE:
                continue
            try:
                shares[owner][point] = share_from_bytes(piece)
            except ValueError as error:
                raise ProtocolAbort("a share that is none") from error

    def _masks_left(self, shares: Mapping[Party, Mapping[int, int]]) -> list[tuple[bytes, int]]:
        """Return the masks to take from the total: one of each survivor, and what the gone left."""
        counted, masks = set(self._survivors), []
        for owner in self._sharing:
            seed = self._secret(owner, shares[owner])
            if owner in counted:
                if not hmac.compare_digest(commitment_to(seed), self._roll.keys[owner].commitment):
                    raise ProtocolAbort(f"The shares of client {owner} do not fit together")
                masks.append((self._roll.self_mask(seed, owner), -1))
                continue
            if not hmac.compare_digest(public_key(seed), self._roll.keys[owner].mask_key):
                raise ProtocolAbort(f"The shares of client {owner} do not fit together")
            masks += self._pairs(owner, seed, counted)
        return masks

    def _pairs(self, gone: Party, seed: bytes, counted: Iterable[Party]) -> list[tuple[bytes, int]]:
        """Return what survivors added for one who is gone: its own sign takes that away."""
        left = [who for who in self._roll.neighbors_of(gone) if who in counted]
        return [self._roll.pair_mask(seed, gone, who) for who in left]

    def _secret(self, owner: Party, shares: Mapping[int, int]) -> bytes:
        needed = self.sum.safety.threshold
        if len(shares) < needed:
            text = f"{len(shares)} shares of client {owner} are left, {needed} are needed"
            raise ProtocolAbort(text)
        first: Sequence[int] = sorted(shares)[:needed]
        secret = combine({point: shares[point] for point in first})
        if secret >> (8 * SEED_BYTES):
            raise ProtocolAbort(f"The shares of client {owner} do not fit together")
        return secret.to_bytes(SEED_BYTES, "big")


def _as_tensor(words: Words) -> Tensor:
    return torch.from_numpy(words.view(f"i{words.itemsize}"))


def _as_words(total: Tensor, word: "np.dtype[np.unsignedinteger]") -> Words:
    return total.numpy().view(word).copy()
