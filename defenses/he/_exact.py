"""BFV: how large a modulus decrypts every sum of honest ciphertexts rightly."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from privfl.core import PlanError
from privfl.defenses.he._parameters import Parameters, leanest
from privfl.defenses.he._standard import LARGEST_PRIME, Rings

ERROR_MOST = 21.5  # of a fresh coefficient: the centred binomial's 21, and .5 that SEAL rounds off
SLACK = 0.1  # bits: SEAL's primes lie a little below a power of two


@lru_cache(maxsize=256)
def exact(n_clients: int, dim: int, bits: int, rings: Rings) -> Parameters:
    """Return the leanest ring in which sums of integers of ``bits`` bits decrypt for certain.

    A sum of plaintexts modulo t decrypts rightly while its error is below q / 2t (Fan and
    Vercauteren 2012, https://eprint.iacr.org/2012/144, section 4), and each of ``n_clients`` errors
    is at most `ERROR_MOST`: a failure has no chance, in no life of a key. Several integers lie side
    by side in one coefficient where the modulus has room, since errors ask for theirs but once.

    Raises:
        PlanError: where no ring is large enough.
    """
    fits = list(_fits(n_clients, dim, bits, rings))
    if not fits:
        raise PlanError(
            "R9",
            ("BFV parameters",),
            f"Sums of {n_clients} integers of {bits} bits need a modulus of "
            f"{math.ceil(_needed(n_clients, bits))} bits, and that is more than was offered (one "
            f"prime has at most {LARGEST_PRIME})",
            "Use fewer bits in Quantize, less noise, or a larger modulus",
        )
    return leanest(fits)


def _fits(n_clients: int, dim: int, bits: int, rings: Rings) -> Iterator[Parameters]:
    """Yield, for each degree and number of integers in a coefficient, the smallest modulus."""
    for degree, moduli in rings:
        for integers in range(1, LARGEST_PRIME // bits + 1):
            needed = _needed(n_clients, bits * integers)
            for primes in moduli:
                found = Parameters(
                    "BFV", degree, primes, dim, plaintext_bits=bits * integers, integers=integers
                )
                if found.data_bits >= needed:
                    margin = found.data_bits - needed + SLACK
                    yield replace(found, margin_bits=margin)
                    break


def _needed(n_clients: int, plaintext_bits: int) -> float:
    return plaintext_bits + 1 + math.log2(n_clients * ERROR_MOST) + SLACK
