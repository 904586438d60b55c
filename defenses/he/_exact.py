"""BFV: how large a modulus decrypts every sum of honest ciphertexts rightly."""

import math
from collections.abc import Iterable

from privfl.core import PlanError
from privfl.defenses.he._parameters import Parameters
from privfl.defenses.he._standard import LARGEST_PRIME, Primes

ERROR_MOST = 21.5  # of a fresh coefficient: the centred binomial's 21, and .5 that SEAL rounds off
SLACK = 0.1  # bits: SEAL's primes lie a little below a power of two


def exact(
    n_clients: int, dim: int, plaintext_bits: int, rings: Iterable[tuple[int, Primes]]
) -> Parameters:
    """Return the first ring in which ``n_clients`` ciphertexts add up and decrypt for certain.

    A sum m of plaintexts modulo t decrypts rightly while its error is below q / 2t (Fan and
    Vercauteren 2012, https://eprint.iacr.org/2012/144, section 4), and each of ``n_clients`` errors
    is at most `ERROR_MOST`: a failure has no chance, in no life of a key.

    Raises:
        PlanError: where no ring is large enough.
    """
    needed = plaintext_bits + 1 + math.log2(n_clients * ERROR_MOST)
    for degree, primes in rings:
        found = Parameters("BFV", degree, primes, dim, plaintext_bits=plaintext_bits)
        margin = found.data_bits - needed
        if margin >= SLACK:
            return Parameters(
                "BFV", degree, primes, dim, plaintext_bits=plaintext_bits, margin_bits=margin
            )
    raise PlanError(
        "R9",
        ("BFV parameters",),
        f"Sums of {n_clients} integers of {plaintext_bits} bits need a modulus of "
        f"{math.ceil(needed + SLACK)} bits, and that is more than was offered (one prime has at "
        f"most {LARGEST_PRIME})",
        "Use fewer bits in Quantize, less noise, or a larger modulus",
    )
