"""Approximate sums of real numbers under encryption."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privfl.core import CompositionError, Contract, Plan, ProtocolAbort, State, require_count
from privfl.core._ring import TAIL, wrap_probability
from privfl.crypto import Stream
from privfl.defenses.he._approximate import LONGER, approximate
from privfl.defenses.he._encrypted_sum import EncryptedSum
from privfl.defenses.he._notes import in_words
from privfl.defenses.he._parameters import Parameters, Sum
from privfl.defenses.he._standard import rings
from privfl.lattice import Secret
from privfl.parts import Part

KEPT_BITS, PUBLISHED_BITS = 24, 16  # of precision, where the user does not say


@dataclass(frozen=True, repr=False)
class CKKS(EncryptedSum):
    """Let clients alone learn the sum of their updates, to a stated precision.

    Cheon, Kim, Kim and Song 2017 (https://eprint.iacr.org/2016/421), of which a sum needs little:
    no key but the secret one, one prime, no rescaling. Two coordinates make one complex number, so
    that a ciphertext holds as many as its degree, and half of a fresh ciphertext travels as a seed.

    One key is shared by all clients. A client that holds it hands it, sealed, to those who lack it.

    Args:
        bits: the mean is right to the clip norm times ``2**-bits``; None: 24, and 16 if published.
        published: the server gets the result, and a key lasts for so many rounds: for their
            releases it is flooded (rule R9). 0: the result stays with the clients, unflooded.
        fewest: how many must be left in a sum.

    Guarantees:
        - The server sees ciphertexts of 128-bit security and holds no key.
        - No coordinate of the mean is off by more than ``plan.error``, but with a chance below
          2^-40.
        - What is published does not give the key away (Li and Micciancio 2021,
          https://eprint.iacr.org/2020/1533), up to 30 statistical bits, nor, to a server that asks
          for one sum a round, a single update.
        - Not hidden: anything, from the server together with one client; nor what a sum shows.

    >>> import torch
    >>> from privfl import Pipeline
    >>> from privfl.defenses.dp import Clip
    >>> shield, updates = Pipeline(Clip(1.0), CKKS()), torch.eye(4) / 2
    >>> release = shield.aggregate(updates)
    >>> bool((release.update - updates.mean(dim=0)).abs().max() < 1e-7)
    True
    """

    bits: int | None = None
    published: int = 0
    fewest: int = 2

    def __post_init__(self) -> None:
        """Refuse numbers that are none."""
        require_count("published", self.published)
        require_count("fewest", self.fewest, least=2)
        if self.bits is not None:
            require_count("bits", self.bits, least=2)

    @property
    def rounds_per_key(self) -> int | None:
        """For how many rounds the noise of a release is made."""
        return self.published or None

    def lower(self, given: Contract) -> tuple[Part, ...]:
        """Refuse what has no bound, and integers."""
        if given.form != "real":
            raise CompositionError(
                "R33",
                (given.author("form"), self),
                f"{self!r} adds real numbers, and {given.author('form')!r} makes integers",
                "Use BFV(), which adds them exactly",
            )
        if given.clip_norm == math.inf:
            raise CompositionError(
                "R6",
                ("no clip norm", self),
                f"{self!r} adds in a modulus that no honest sum may pass, and nobody clips",
                "Put Clip(…) before it",
            )
        return (self,)

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        """State how far off the mean is."""
        error = self.parameters(given).error * given.n_clients / given.total_weight
        given = super().plan(given, contract, public)
        return given.but(error=error, wrap_probability=wrap_probability(given))

    def parameters(self, plan: Plan) -> Parameters:
        """Plan the ring for what stands in front of the protocol."""
        bits = self.bits or (PUBLISHED_BITS if self.publishes else KEPT_BITS)
        wanted = Sum(plan.n_clients, plan.bound, plan.dim, plan.row_std, plan.sums)
        return approximate(wanted, plan.bound * 2.0**-bits, self.published, rings("CKKS"))

    def describe(self, plan: Plan, contract: Contract) -> str:
        """Say which ring it is, and how exact."""
        del contract
        found = self.parameters(plan)
        released = ""
        if self.publishes:
            released = f"; flooded for {self.published} rounds a key"
        return f"{in_words(found)}; the mean is off by at most {found.error:.2g}{released}"

    def to_blocks(
        self, vector: Tensor, parameters: Parameters, plan: Plan
    ) -> NDArray[np.complex128]:
        """Scale, and write two coordinates as one complex number."""
        x = vector.detach().cpu().double().numpy()
        if not np.linalg.norm(x) <= self._longest(plan, 1):
            raise ProtocolAbort(f"A part in front of {self!r} does not keep the bound it states")
        padded = np.zeros(parameters.ciphertexts * parameters.degree)
        padded[: len(x)] = x * parameters.scale
        return padded.view(np.complex128).reshape(parameters.ciphertexts, -1)

    def _longest(self, plan: Plan, n: int) -> float:
        """Bound the L2 norm of a sum of ``n`` honest vectors."""
        noise = plan.row_std * math.sqrt(n) * (math.sqrt(plan.dim) + TAIL)
        return n * LONGER * plan.bound + noise

    def opened(
        self,
        secret: Secret,
        words: NDArray[np.uint64],
        parameters: Parameters,
        plan: Plan,
        flood: Stream,
    ) -> Tensor:
        """Decrypt, through noise where the result is published."""
        noise = None
        if parameters.flood_std:
            shape = (parameters.ciphertexts * parameters.degree,)
            std = parameters.flood_std * math.sqrt(parameters.degree / 2)
            noise = (flood.normal(shape) * std).numpy().view(np.complex128)
            noise = noise.reshape(parameters.ciphertexts, -1)
        slots = secret.decrypt_slots(words, noise).reshape(-1).view(np.float64)
        total = torch.from_numpy(slots / parameters.scale)
        # of every slot, those that no coordinate fills too: a wrong key's are all long
        off = parameters.error * plan.n_clients * math.sqrt(len(total))
        if not float(total.norm()) <= self._longest(plan, plan.n_clients) + off:
            raise ProtocolAbort(
                "The sum does not decrypt to one of honest clients: it is of another key, or "
                "somebody sent more than the clip allows"
            )
        return total[: plan.dim]

    def result_bytes(self, parameters: Parameters) -> int:
        """Return 8 for each coordinate."""
        return 8 * parameters.dim

    def to_bytes(self, total: Tensor, parameters: Parameters) -> bytes:
        """Write float64, little-endian."""
        del parameters
        return total.numpy().astype("<f8").tobytes()

    def from_bytes(self, data: bytes, parameters: Parameters) -> Tensor:
        """Read float64."""
        if len(data) != self.result_bytes(parameters):
            raise ProtocolAbort("A result of another length")
        return torch.from_numpy(np.frombuffer(data, "<f8").copy())
