"""Which rings are as hard as 128 bits."""

from collections.abc import Sequence

from privfl.core import PlanError, require, require_count

# degree -> most bits of the modulus, all primes counted: 128-bit security for a ternary secret and
# errors of deviation 3.2 (HomomorphicEncryption.org standard 2018, table 1, classical)
MOST_BITS = {1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438, 32768: 881}
LEAST_PRIME, LARGEST_PRIME = 20, 60  # bits: SEAL knows none above, and far below there are few
LARGEST_DEGREE = 8192  # of what is planned: beyond, nothing gets faster

Primes = tuple[int, ...]
Rings = tuple[tuple[int, tuple[Primes, ...]], ...]


def rings(
    scheme: str, degree: int | None = None, modulus_bits: int | Sequence[int] | None = None
) -> Rings:
    """Return the rings that may be taken: degrees, each with its moduli, the smallest first.

    Raises:
        PlanError: for a ring that was chosen and is not in the table.
    """
    if degree is not None:
        require_count("degree", degree)
        wanted = f"degree must be one of {', '.join(map(str, MOST_BITS))}"
        require(degree in MOST_BITS, wanted, degree)
    if modulus_bits is not None:
        return _chosen(scheme, degree, modulus_bits)
    degrees = [n for n in MOST_BITS if n <= LARGEST_DEGREE] if degree is None else [degree]
    return tuple((n, _moduli(n)) for n in degrees)


def _moduli(degree: int) -> tuple[Primes, ...]:
    most = min(MOST_BITS[degree], LARGEST_PRIME)
    return tuple((bits,) for bits in range(LEAST_PRIME, most + 1))


def _chosen(scheme: str, degree: int | None, modulus_bits: int | Sequence[int]) -> Rings:
    listed = isinstance(modulus_bits, int | Sequence) and not isinstance(modulus_bits, str)
    require(listed, "modulus_bits must be a number or a sequence of them", repr(modulus_bits))
    primes = (modulus_bits,) if isinstance(modulus_bits, int) else tuple(modulus_bits)
    require(bool(primes), "modulus_bits must hold a number", "none")
    for bits in primes:
        require_count("modulus_bits", bits, least=2)
    total = sum(primes)
    allowed = max(MOST_BITS.values()) if degree is None else MOST_BITS[degree]
    if total > allowed:
        at = "any degree" if degree is None else f"degree {degree}"
        raise PlanError(
            "R9",
            (f"{scheme} parameters",),
            f"A modulus of {total} bits at {at} is weaker than 128 bits: the homomorphic "
            f"encryption standard allows {allowed}",
            "Use a smaller modulus or a larger degree, or leave both out to have the smallest",
        )
    wanted = f"modulus_bits must hold numbers up to {LARGEST_PRIME}"
    require(max(primes) <= LARGEST_PRIME, wanted, modulus_bits)
    smallest = next(n for n, most in MOST_BITS.items() if total <= most)
    return ((degree or smallest, (primes,)),)
