"""What a client and the server of a sum do with TenSEAL's high-level `ckks_vector`.

A vector is cut to ciphertexts by hand, as TenSEAL would cut it, because it prints a warning where
it does so itself. Keys for products are never made.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import tenseal
from numpy.typing import NDArray


@dataclass(frozen=True)
class Setup:
    """Name a context: ring degree, bits of its primes, and whether a public key encrypts."""

    name: str
    primes: tuple[int, ...]
    public_key: bool

    degree: ClassVar[int] = 8192
    scale: ClassVar[float] = 2.0**40

    @cached_property
    def context(self) -> Any:
        """The context of who holds the secret key. One thread."""
        kind = tenseal.ENCRYPTION_TYPE
        made = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS,
            self.degree,
            coeff_mod_bit_sizes=list(self.primes),
            encryption_type=kind.ASYMMETRIC if self.public_key else kind.SYMMETRIC,
            n_threads=1,
        )
        made.global_scale = self.scale
        return made

    @cached_property
    def servers(self) -> Any:
        """The server's context, which holds no secret key."""
        kept = {"save_secret_key": False, "save_galois_keys": False, "save_relin_keys": False}
        return tenseal.context_from(self.context.serialize(**kept))

    def encrypted(self, x: NDArray[np.float64]) -> list[bytes]:
        """Encode, encrypt, serialise. A list goes in faster than an array."""
        slots = self.degree // 2
        return [
            tenseal.ckks_vector(self.context, x[at : at + slots].tolist()).serialize()
            for at in range(0, len(x), slots)
        ]

    def loaded(self, sent: list[bytes], context: Any = None) -> list[Any]:
        """Deserialise, as the server where no context is named."""
        return [tenseal.ckks_vector_from(context or self.servers, block) for block in sent]

    def added(self, total: list[Any], more: list[Any]) -> None:
        """Add to ``total`` in place."""
        for block, other in zip(total, more, strict=True):
            block += other

    def summed(self, sent: list[list[bytes]]) -> list[bytes]:
        """Take the letters of several clients, one at a time, and write their sum."""
        total = self.loaded(sent[0])
        for letter in sent[1:]:
            self.added(total, self.loaded(letter))
        return [block.serialize() for block in total]

    def opened(self, summed: list[bytes]) -> NDArray[np.float64]:
        """Deserialise and decrypt."""
        blocks = self.loaded(summed, self.context)
        return np.concatenate([np.array(block.decrypt()) for block in blocks])


NVFLARE = Setup("TenSEAL, NVFlare's set", (60, 40, 40), public_key=False)
README = Setup("TenSEAL, its README's set", (60, 40, 40, 60), public_key=True)
