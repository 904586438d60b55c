"""Exact sums of integers under encryption."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privfl.compression import as_integers
from privfl.core import Contract, Plan, ProtocolAbort, State, require, require_count
from privfl.core._ring import centred, in_a_ring, ring_bits
from privfl.crypto import Stream, pack, packed_size, unpack
from privfl.defenses.he._encrypted_sum import EncryptedSum
from privfl.defenses.he._exact import exact
from privfl.defenses.he._notes import in_words
from privfl.defenses.he._parameters import Parameters
from privfl.defenses.he._standard import rings
from privfl.lattice import Secret
from privfl.parts import Part


@dataclass(frozen=True, repr=False)
class BFV(EncryptedSum):
    """Let clients alone learn the exact sum of their integers.

    Fan and Vercauteren 2012 (https://eprint.iacr.org/2012/144), of which a sum needs little: one
    prime, and no key but the secret one. Integers lie in the coefficients, as many side by side as
    the modulus has room for, and half of a fresh ciphertext travels as a seed. An update of real
    numbers is rounded by itself to 16 bits; write `Quantize` in front for others. Integer noise
    comes out as it went in, so that what was proved of it holds.

    One key is shared by all clients. A client that holds it hands it, sealed, to those who lack it.

    Args:
        published: whether the server gets the result. A sum says nothing but itself, so that it
            needs no noise for it; False: it stays with the clients.
        fewest: how many must be left in a sum.

    Guarantees:
        - The result is the exact sum of the rounded updates, or a `ProtocolAbort`: the errors of
          honest ciphertexts have a bound, and decryption cannot fail.
        - The server sees ciphertexts of 128-bit security and holds no key.
        - Not hidden: anything, from the server together with one client; nor what a sum shows.

    >>> import torch
    >>> from privfl import Pipeline
    >>> from privfl.compression import Quantize
    >>> from privfl.defenses.dp import Clip
    >>> shield = Pipeline(Clip(1.0), Quantize(8), BFV())
    >>> print(shield.aggregate(torch.ones(4, 2) / 2, drop={1: "upload"}))
    3 of 4
    """

    published: bool = False
    fewest: int = 2

    def __post_init__(self) -> None:
        """Refuse what is no truth value or count."""
        wanted = "published must be True or False: exact sums need no noise for so many rounds"
        require(isinstance(self.published, bool), wanted, repr(self.published))
        require_count("fewest", self.fewest, least=2)

    def lower(self, given: Contract) -> tuple[Part, ...]:
        """Round real numbers before they are encrypted."""
        return as_integers(self, given)

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        """State the integers' ring, and how likely noise wraps around it."""
        self.parameters(given)
        return in_a_ring(super().plan(given, contract, public), self)

    def parameters(self, plan: Plan) -> Parameters:
        """Plan the ring for what stands in front of the protocol."""
        return exact(plan.n_clients, plan.dim, ring_bits(plan), rings("BFV"))

    def describe(self, plan: Plan, contract: Contract) -> str:
        """Say which ring it is."""
        del contract
        found = self.parameters(plan)
        return f"{in_words(found)}; integers of {found.integer_bits} bits, added exactly"

    def to_blocks(self, vector: Tensor, parameters: Parameters, plan: Plan) -> NDArray[np.uint64]:
        """Take integers into the plaintext ring, where they wrap as in every ring."""
        del plan
        padded = np.zeros(
            (parameters.integers, parameters.ciphertexts * parameters.degree), np.int64
        )
        padded.reshape(-1)[: len(vector)] = vector.detach().cpu().numpy()
        shifts = parameters.integer_bits * np.arange(parameters.integers)
        whole: NDArray[np.uint64] = (padded << shifts[:, None]).sum(axis=0).view(np.uint64)
        whole &= np.uint64((1 << parameters.plaintext_bits) - 1)
        return whole.reshape(parameters.ciphertexts, -1)

    def opened(
        self,
        secret: Secret,
        words: NDArray[np.uint64],
        parameters: Parameters,
        plan: Plan,
        flood: Stream,
    ) -> Tensor:
        """Decrypt: nothing has to be flooded."""
        del flood
        if not secret.opens(words[0]):
            raise ProtocolAbort("The sum does not decrypt: it is of another key, or was changed")
        whole = centred(secret.decrypt_integers(words).reshape(-1), parameters.plaintext_bits)
        return torch.cat(_apart(whole, parameters))[: plan.dim]

    def result_bytes(self, parameters: Parameters) -> int:
        """Return the bits of an integer for each coordinate."""
        return packed_size(parameters.dim, parameters.integer_bits)

    def to_bytes(self, total: Tensor, parameters: Parameters) -> bytes:
        """Write the integers packed to their bits."""
        bits = parameters.integer_bits
        words = total.numpy().astype(np.uint64) & np.uint64((1 << bits) - 1)
        return pack(words, bits)

    def from_bytes(self, data: bytes, parameters: Parameters) -> Tensor:
        """Read packed integers."""
        bits = parameters.integer_bits
        try:
            return centred(unpack(data, bits, parameters.dim, np.uint64), bits)
        except ValueError as error:
            raise ProtocolAbort("A result of another length") from error


def _apart(whole: Tensor, parameters: Parameters) -> list[Tensor]:
    """Take sums apart that lie side by side: each is signed, and borrows from the one above."""
    parts = []
    for _ in range(parameters.integers):
        low = centred(whole.numpy().view(np.uint64), parameters.integer_bits)
        parts.append(low)
        whole = (whole - low) >> parameters.integer_bits
    return parts
