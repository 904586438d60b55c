"""What a ring costs and how exact its sums are."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from privfl.crypto import packed_size
from privfl.defenses.he._standard import Primes
from privfl.lattice import SEED_BYTES, Ring

Scheme = Literal["CKKS", "BFV"]
HARDLY_MORE = 1.05  # bytes: what speed may cost


@dataclass(frozen=True)
class Sum:
    """State what is to be added: the public facts that a ring is planned for.

    Attributes:
        n_clients: how many vectors.
        bound: L2 norm of each, noise apart.
        dim: coordinates of each.
        noise_std: of local noise on each coordinate.
        at_once: how many such sums a round opens under one key.
    """

    n_clients: int
    bound: float
    dim: int
    noise_std: float = 0.0
    at_once: int = 1


@dataclass(frozen=True)
class Parameters:
    """State the ring of a sum, how exact it is, and how long its ciphertexts are.

    Attributes:
        scheme: ``CKKS`` or ``BFV``.
        degree: of the polynomials: coefficients in one ciphertext.
        primes: bits of each prime of the modulus.
        dim: coordinates of an update.
        scale: by which CKKS multiplies before it rounds; 1 for BFV.
        plaintext_bits: of BFV's plaintexts; 0 for CKKS.
        integers: that lie side by side in one coefficient of BFV.
        error: the most by which a coordinate of everybody's mean is off, passed with a chance below
            2^-40. Sums of fewer are off by at most ``n_clients`` times that.
        margin_bits: by how many bits the largest honest sum stays below what decrypts rightly.
        flood_std: of the noise on each coefficient of a released sum; 0 where none is released.
    """

    scheme: Scheme
    degree: int
    primes: Primes
    dim: int
    scale: float = 1.0
    plaintext_bits: int = 0
    integers: int = 1
    error: float = 0.0
    margin_bits: float = 0.0
    flood_std: float = 0.0

    @property
    def modulus_bits(self) -> int:
        """Bits of the modulus, every prime counted."""
        return sum(self.primes)

    @property
    def data_bits(self) -> int:
        """Bits of the modulus of ciphertexts: of several primes SEAL keeps the last for itself."""
        return sum(self.primes[:-1]) or self.modulus_bits

    @property
    def ciphertexts(self) -> int:
        """How many an update takes."""
        return -(-self.dim // (self.degree * self.integers))

    @property
    def integer_bits(self) -> int:
        """Bits of each integer."""
        return self.plaintext_bits // self.integers

    @property
    def bytes_up(self) -> int:
        """Bytes of an update: one polynomial of each ciphertext, and a seed for the other."""
        words = packed_size(self.ciphertexts * self.degree, self.data_bits)
        return words + self.ciphertexts * SEED_BYTES

    @property
    def bytes_down(self) -> int:
        """Bytes of the sum: both polynomials of each ciphertext."""
        return packed_size(2 * self.ciphertexts * self.degree, self.data_bits)

    @property
    def bytes_per_parameter(self) -> float:
        """Bytes of an update over its coordinates."""
        return self.bytes_up / self.dim

    @property
    def ring(self) -> Ring:
        """The ring to compute in, where the modulus is one prime."""
        return _ring(self.scheme, self.degree, self.modulus_bits, self.plaintext_bits)


@lru_cache(maxsize=16)  # a ring keeps SEAL's tables, which take longer than a small vector
def _ring(scheme: Scheme, degree: int, modulus_bits: int, plaintext_bits: int) -> Ring:
    return Ring(scheme, degree, modulus_bits, plaintext_bits)


def leanest(fits: Sequence[Parameters]) -> Parameters:
    """Return the largest degree whose update takes hardly more bytes than the least.

    Each ciphertext costs the same calls, so that few large ones are faster than many small ones.
    """
    least = min(found.bytes_up for found in fits)
    lean = [found for found in fits if found.bytes_up <= HARDLY_MORE * least]
    return max(lean, key=lambda found: (found.degree, -found.bytes_up))
