"""The secret key of approximate encryption, from a sum that was handed out as it decrypts."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privfl.core import SERVER, Party, Plan
from privfl.core._encrypted_letters import Decrypt, Encrypted, Opened
from privfl.core._letter import pieces
from privfl.crypto import unpack
from privfl.lattice import SEED_BYTES, Ring, RunningSum, coefficients, decode, encode
from privfl.rounds import Line, Opening, Setting
from privfl.rounds._envelope import Envelope
from privfl.views import NotApplicable, View

Words = NDArray[np.uint64]
Slots = NDArray[np.complex128]


@dataclass(frozen=True)
class Recovered:
    """State what a server computed from what it was handed.

    Attributes:
        key: (degree,) its coefficients, -1, 0 and 1; None where no candidate is such a polynomial.
        updates: of each sum, in order, the vectors (d,) that the key opens, by client. What does
            not open to a vector within the public bound is left out: it is of another key.

    >>> Recovered(None, ({},)).key is None
    True
    """

    key: Tensor | None = field(repr=False)
    updates: tuple[Mapping[Party, Tensor], ...] = field(repr=False)


@dataclass(frozen=True)
class CKKSKeyRecovery:
    """Divide a handed-out result by its ciphertext: that gives the key, and the key every update.

    A ciphertext (c0, c1) of CKKS decrypts to c0 + c1 s = m + e: the sum with the error that hides
    the key s. Who sees m + e whole solves for s, a division for each point of the number-theoretic
    transform (Li and Micciancio 2021, https://eprint.iacr.org/2020/1533). The server
    is passive: it changes no letter, and needs those of one round. Several results of one
    ciphertext are averaged first: noise that is drawn anew wears off.

    Whether a key is right can be seen without the truth: the coefficients of a wrong one are
    uniform, and those of a key -1, 0 and 1.

    Stopped by: clients who keep the result, or who add noise to it (rule R9), always the same to
    the same ciphertext. A coefficient that is off by half a unit stops this attack, which needs
    exact equations. So that it fails is no proof of security; that rests on the noise's size. Noise
    alone would not stop a server that lies: one that had (0, K) opened in the sum's place would be
    told K s. That is why openers make the second polynomials themselves.

    >>> CKKSKeyRecovery()
    CKKSKeyRecovery()
    """

    def __call__(self, line: Line, *views: View) -> Recovered:
        """Attack what one server saw of some rounds under one key.

        Args:
            line: the pipeline, whose protocol sums under CKKS.
            views: of the server, one a round.

        Raises:
            NotApplicable: for another protocol, or where no result is as long as a ciphertext.
        """
        sums = [each for view in views for each in _sums_of(view, line)]
        candidates = [each for one in sums for each in one.candidates()]
        if not candidates:
            raise NotApplicable(
                "The server was handed no result, or none that fills a ciphertext: "
                "ciphertexts alone give no equation for the key."
            )
        for ring, words in candidates:
            key = coefficients(ring, words)
            if np.abs(key).max() <= 1:
                return Recovered(torch.from_numpy(key), tuple(one.opened(words) for one in sums))
        return Recovered(None, tuple({} for _ in sums))


class _Numbers(Protocol):
    """Name the public numbers of an encrypted sum; its part tells them for a plan."""

    scheme: str
    degree: int
    modulus_bits: int
    scale: float
    dim: int
    ciphertexts: int
    error: float
    ring: Ring


class _Encrypting(Protocol):
    def parameters(self, plan: Plan) -> _Numbers: ...


@dataclass(frozen=True)
class _Sum:
    """Keep what a server has of one sum."""

    plan: Plan
    numbers: _Numbers
    uploads: dict[Party, Encrypted] = field(default_factory=dict)
    asked: dict[Party, Decrypt] = field(default_factory=dict)
    results: dict[Decrypt, list[bytes]] = field(default_factory=dict)

    @property
    def ring(self) -> Ring:
        return self.numbers.ring

    def read(self, stage: str, sender: Party, receiver: Party, letter: bytes) -> None:
        """File a letter: an upload, or a sum or result of it."""
        size = len(letter)
        if stage == "upload" and receiver == SERVER:
            self.uploads[sender] = Encrypted.read(letter, size)
        elif stage == "decrypt" and sender == SERVER:
            self.asked[receiver] = Decrypt.read(letter, size)
        elif stage == "decrypt":
            result = Opened.read(letter, size).result
            if result:  # else clients keep it
                self.results.setdefault(self.asked[sender], []).append(result)

    def candidates(self) -> Iterator[tuple[Ring, Words]]:
        """Solve for the key in every ciphertext whose numbers were all handed out."""
        degree, scale = self.numbers.degree, self.numbers.scale
        for letter, results in self.results.items():
            shown = np.mean([np.frombuffer(one, "<f8") for one in results], axis=0) * scale
            for k, (c0, c1) in enumerate(self._summed(letter)[: len(shown) // degree]):
                if c1.all():  # a zero among thousands of words is no equation: the next one then
                    slots = shown[k * degree : (k + 1) * degree].view(np.complex128)
                    yield self.ring, _quotient(self.ring, encode(self.ring, slots), c0, c1)

    def _summed(self, letter: Decrypt) -> Words:
        """Return both polynomials of the sum, the second one of everybody's seeds."""
        size = SEED_BYTES * self.numbers.ciphertexts
        seeds = pieces(letter.seeds, size, len(letter.seeds) // size)
        words = self._unpacked(letter.words, 1)[:, 0]
        return RunningSum.rebuilt(self.ring, words, seeds).words()

    def opened(self, key: Words) -> dict[Party, Tensor]:
        """Decrypt every client's upload, as far as the key fits."""
        vectors = {who: self._vector(sent, key) for who, sent in self.uploads.items()}
        return {who: x for who, x in vectors.items() if float(x.norm()) <= self._longest}

    @property
    def _longest(self) -> float:
        """Bound an honest vector as decrypted; a wrong key's are longer by orders of magnitude."""
        off = self.numbers.error * self.plan.n_clients + 2 * self.plan.row_std
        return 1.001 * self.plan.bound + off * math.sqrt(self.numbers.dim)

    def _vector(self, sent: Encrypted, key: Words) -> Tensor:
        seeds = pieces(sent.seeds, SEED_BYTES, self.numbers.ciphertexts)
        slots = []
        for (c0,), seed in zip(self._unpacked(sent.words, 1), seeds, strict=True):
            whole, _ = self.ring.words_of(self.ring.fresh(c0, seed))
            slots.append(decode(self.ring, _phase(self.ring, whole[0], whole[1], key)))
        flat = np.concatenate(slots).view(np.float64)
        return torch.from_numpy(flat[: self.numbers.dim] / self.numbers.scale)

    def _unpacked(self, data: bytes, polynomials: int) -> Words:
        shape = (self.numbers.ciphertexts, polynomials, self.numbers.degree)
        words = unpack(data, self.numbers.modulus_bits, math.prod(shape), np.uint64)
        return words.reshape(shape)


def _sums_of(view: View, line: Line) -> Iterable[_Sum]:
    """Sort a view's letters by the sum that they belong to."""
    sums: dict[bytes, _Sum] = {}
    for post in view.letters:
        envelope = Envelope.read(post.letter)
        if envelope.session not in sums:
            sums[envelope.session] = _opened_by(envelope, line)
        sums[envelope.session].read(envelope.stage, post.sender, post.receiver, envelope.letter)
    return sums.values()


def _opened_by(envelope: Envelope, line: Line) -> _Sum:
    plan = Setting(line, Opening.from_state(envelope.opening)).plans[line.protocol_at]
    if not hasattr(line.protocol, "parameters"):
        raise NotApplicable(f"The protocol must be CKKS itself. Found {line.protocol!r}.")
    numbers = cast(_Encrypting, line.protocol).parameters(plan)
    if numbers.scheme != "CKKS":
        raise NotApplicable(f"{line.protocol!r} is exact: its results hold nothing of the key.")
    return _Sum(plan, numbers)


def _quotient(ring: Ring, phase: Words, c0: Words, c1: Words) -> Words:
    """Solve phase = c0 + c1 key: (degree,) words each."""
    q = ring.modulus
    rows = zip(phase.tolist(), c0.tolist(), c1.tolist(), strict=True)
    return np.array([(a - b) * pow(c, -1, q) % q for a, b, c in rows], np.uint64)


def _phase(ring: Ring, c0: Words, c1: Words, key: Words) -> Words:
    """Return c0 + c1 key, in whole numbers of any length: a product passes 64 bits."""
    whole = c0.astype(object) + c1.astype(object) * key.astype(object)
    words: Words = (whole % ring.modulus).astype(np.uint64)
    return words
