"""Masked sums that each lack one line of defence, so that an attack on that line succeeds."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from privfl.core import Advertisement, At, Party, ProtocolAbort
from privfl.core._advertisement import SEED_BYTES, Secrets
from privfl.core._letter import SIGNATURE_BYTES, pieces
from privfl.core._masking_letters import Masked
from privfl.crypto import masked, unpack, verify
from privfl.defenses.masking import SecAgg
from privfl.defenses.masking._client import ClientSide
from privfl.defenses.masking._sum import MaskedSum
from privfl.defenses.masking._threat_model import Safety
from privfl.parts import Turn


@dataclass(frozen=True)
class Weak(SecAgg):
    """The real masked sum, with another client inside."""

    client: ClassVar[type[ClientSide]] = ClientSide  # type: ignore[misc]

    def reply(self, letter: bytes, vector: Callable[[], Tensor], me: Party, at: At) -> Turn:
        return self.client(MaskedSum.of(self, at), me, at).reply(letter, vector)


@dataclass(frozen=True)
class HalfThreshold(Weak):
    """A sparse graph on which two halves of somebody's neighbours both have a threshold."""

    def safety(self, n: int) -> Safety:
        return replace(super().safety(n), neighbors=8, threshold=4)


@dataclass(frozen=True)
class ThresholdOfTwo(Weak):
    """A complete graph on which any two open a secret, and any two make a sum."""

    def safety(self, n: int) -> Safety:
        return replace(super().safety(n), threshold=2, quorum=2)


class AnswersAgain(ClientSide):
    """Shows shares, then waits for other survivors to be signed."""

    def _unmask(self, letter):
        return replace(super()._unmask(letter), state={**self._kept, "next": "sign"})


class NoQuorum(ClientSide):
    """Shows shares for the survivors that it was told, whatever others signed."""

    def _check_quorum(self, letter, survivors):
        pass


class CountsSignatures(ClientSide):
    """Counts valid signatures, not whose they are."""

    def _check_quorum(self, letter, survivors):
        text, keys = self._roll.survivors_text(survivors), self._registry.values()
        made = pieces(letter.signatures, SIGNATURE_BYTES, len(letter.signatures) // SIGNATURE_BYTES)
        valid = [s for s in made if any(verify(key, text, s) for key in keys)]
        if len(valid) < self.sum.safety.quorum:
            raise ProtocolAbort("too few")


class NoEdges(ClientSide):
    """Does not ask with whom others masked."""

    def _check_edges(self, survivors, edges):
        pass


class NoPeers(ClientSide):
    """Goes on with however few neighbours."""

    def _require_peers(self, left, stage):
        pass


class NoNeighbors(NoPeers, NoEdges):
    """Does not look at its neighbours at all."""


class NoRegistry(ClientSide):
    """Believes whatever keys the server relays."""

    def _require_signed(self, who, advertisement):
        pass


class SignedBySomebody(ClientSide):
    """Asks that keys are signed by a member, not by the one whose they are said to be."""

    def _require_signed(self, who, advertisement):
        text = advertisement.signed_text(who, self.sum.occasion)
        if not any(verify(key, text, advertisement.signature) for key in self._registry.values()):
            raise ProtocolAbort("nobody signed")


class NoSelfMask(ClientSide):
    """Masks with its neighbours only."""

    def _mask(self, letter, vector):
        turn = super()._mask(letter, vector)
        found = Masked.read(turn.letters, 1 << 30)
        words = unpack(found.words, self.sum.bits, self.sum.dim, self.sum.word)
        own = self._roll.self_mask(self._secrets.self_seed, self.me)
        bare = masked(words, [(own, -1)], self.sum.bits)
        return replace(turn, letters=replace(found, words=bare).to_bytes())


class FewShares(ClientSide):
    """Splits its secrets so that three shares open them."""

    def _split(self, seed, points):
        low = replace(self.sum, safety=replace(self.sum.safety, threshold=3))
        return ClientSide(low, self.me, self.at)._split(seed, points)


class LastingKeys(ClientSide):
    """Derives keys from its identity, and binds them to no session."""

    def __init__(self, sum, me, at):
        super().__init__(replace(sum, occasion=replace(sum.occasion, session=b"")), me, at)

    def _advertise(self):
        seeds = self._identity.sign(b"seeds") + self._identity.sign(b"more seeds")[:SEED_BYTES]
        secrets = Secrets(*pieces(seeds, SEED_BYTES, 3))
        made = Advertisement.signed(secrets, self.me, self.sum.occasion, self._identity).to_bytes()
        return Turn(made, {"next": "share", "secrets": seeds, "advertised": made})


def weak(client: type[ClientSide], base: type[Weak] = Weak, **numbers) -> Weak:
    """A part that runs ``client``."""
    kind = dataclass(frozen=True)(type(client.__name__, (base,), {"client": client}))
    return kind(**numbers)
