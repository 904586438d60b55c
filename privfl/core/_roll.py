"""Who takes part in a masked sum, who masks with whom, and the keys between two of them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from privfl.core._advertisement import Advertisement, Occasion
from privfl.core._encoding import Party, encode
from privfl.crypto import agree, derive


@dataclass(frozen=True)
class Roll:
    """Hold the advertisements of one sum, in the order of the cohort.

    Attributes:
        occasion: what they were signed for.
        members: of the cohort, those who are gone included.
        neighbors: how many others each member masks and shares with.
        keys: whose advertisement was relayed. A client keeps only its neighbours'.
        root: hash of all of them. It picks the graph, and is in every key and signature, so whoever
            was shown other keys gets other ones and no signature fits.
    """

    occasion: Occasion
    members: tuple[Party, ...]
    neighbors: int
    keys: Mapping[Party, Advertisement] = field(repr=False)
    root: bytes

    @classmethod
    def of(
        cls,
        occasion: Occasion,
        members: tuple[Party, ...],
        neighbors: int,
        keys: Mapping[Party, Advertisement],
    ) -> "Roll":
        """Make the roll of everybody whose advertisement was relayed."""
        lines = [occasion.text("roll", *members, neighbors)]
        lines += [encode(who) + keys[who].to_bytes() for who in members if who in keys]
        root = hashlib.sha256(b"".join(lines)).digest()
        return cls(occasion, members, neighbors, keys, root)

    @cached_property
    def _place(self) -> Mapping[Party, int]:
        return {who: k for k, who in enumerate(self.members)}

    def neighbors_of(self, who: Party) -> tuple[Party, ...]:
        """Return with whom ``who`` masks and shares, in the order of the cohort.

        The graph is Harary's: each member is joined to the k / 2 nearest on the ring on either side
        (k is even); or to all others, where that is their number.
        """
        n, half = len(self.members), self.neighbors // 2
        if self.neighbors >= n - 1:
            return tuple(member for member in self.members if member != who)
        around, places = _ring(self.root, self.members)
        place = places[who]
        near = {around[(place + step) % n] for step in range(-half, half + 1)} - {who}
        return tuple(sorted(near, key=self._place.__getitem__))

    def peers_of(self, who: Party) -> tuple[Party, ...]:
        """Return those of them who advertised: with whom ``who`` shares."""
        return tuple(peer for peer in self.neighbors_of(who) if peer in self.keys)

    def point_of(self, who: Party) -> int:
        """Return where the shares of ``who`` are evaluated: its place in the cohort, from 1."""
        return self._place[who] + 1

    def pair_mask(self, seed: bytes, owner: Party, peer: Party) -> tuple[bytes, int]:
        """Return the mask between two members and the sign with which ``owner`` adds it.

        ``seed`` is the owner's; the same key comes of the peer's.
        """
        first, second = sorted((owner, peer), key=self._place.__getitem__)
        secret = agree(seed, self.keys[peer].mask_key)
        key = derive(secret, self.occasion.text("pair mask", self.root, first, second))
        return key, 1 if owner == first else -1

    def self_mask(self, seed: bytes, owner: Party) -> bytes:
        """Return the key of the mask that only ``owner`` adds."""
        return derive(seed, self.occasion.text("self mask", self.root, owner))

    def box(self, seed: bytes, owner: Party, sender: Party, receiver: Party) -> tuple[bytes, bytes]:
        """Return key and associated data of a box of shares; ``seed`` is the owner's end of it."""
        text = self.occasion.text("shares", self.root, sender, receiver)
        peer = receiver if owner == sender else sender
        return derive(agree(seed, self.keys[peer].box_key), text), text

    def survivors_text(self, survivors: Sequence[Party]) -> bytes:
        """Return what is signed to say who is counted."""
        return self.occasion.text("survivors", self.root, *survivors)

    def words_text(self, who: Party, words: bytes) -> bytes:
        """Return what ``who`` signs to say which masked vector is its own."""
        return self.occasion.text("words", self.root, who, hashlib.sha256(words).digest())

    def edges_text(self, who: Party, edges: bytes) -> bytes:
        """Return what ``who`` signs to say with which neighbours it masked."""
        return self.occasion.text("edges", self.root, who, edges)


@lru_cache(maxsize=16)  # public, and the same at every turn of every client of a sum
def _ring(root: bytes, members: tuple[Party, ...]) -> tuple[tuple[Party, ...], Mapping[Party, int]]:
    """Put the members around a ring, in an order that the root draws, and say who is where."""
    around = tuple(sorted(members, key=lambda who: hashlib.sha256(root + encode(who)).digest()))
    return around, {who: place for place, who in enumerate(around)}
