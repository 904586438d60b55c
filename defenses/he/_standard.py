"""Which rings are as hard as 128 bits, and small ones first."""

from collections.abc import Iterator, Sequence

from privfl.core import PlanError, require, require_count

# degree -> most bits of the modulus, all primes counted: 128-bit security for a ternary secret and
# errors of deviation 3.2 (HomomorphicEncryption.org standard 2018, table 1, classical)
MOST_BITS = {1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438, 32768: 881}
LEAST_PRIME, LARGEST_PRIME = 20, 60  # bits: SEAL knows none above, and far below there are few

Primes = tuple[int, ...]


def rings(
    scheme: str, degree: int | None = None, modulus_bits: int | Sequence[int] | None = None
) -> Iterator[tuple[int, Primes]]:
    """Yield degree and primes of the rings that may be taken, the smallest modulus first.

    Raises:
        PlanError: for a ring that was chosen and is not in the table.
    """
    if degree is not None:
        require_count("degree", degree)
        wanted = f"degree must be one of {', '.join(map(str, MOST_BITS))}"
        require(degree in MOST_BITS, wanted, degree)
    if modulus_bits is not None:
        listed = isinstance(modulus_bits, int | Sequence) and not isinstance(modulus_bits, str)
        require(listed, "modulus_bits must be a number or a sequence of them", repr(modulus_bits))
        primes = (modulus_bits,) if isinstance(modulus_bits, int) else tuple(modulus_bits)
        require(bool(primes), "modulus_bits must hold a number", "none")
        for bits in primes:
            require_count("modulus_bits", bits, least=2)
        checked = _checked(scheme, degree, primes)
        wanted = f"modulus_bits must hold numbers up to {LARGEST_PRIME}"
        require(max(primes) <= LARGEST_PRIME, wanted, modulus_bits)
        yield checked
        return
    for bits in range(LEAST_PRIME, LARGEST_PRIME + 1):
        if degree is None:
            yield _smallest(bits), (bits,)
        elif bits <= MOST_BITS[degree]:
            yield degree, (bits,)


def _smallest(bits: int) -> int:
    """Return the smallest degree that the table allows."""
    return next(n for n, most in MOST_BITS.items() if bits <= most)


def _checked(scheme: str, degree: int | None, primes: Primes) -> tuple[int, Primes]:
    total, largest = sum(primes), max(MOST_BITS.values())
    allowed = largest if degree is None else MOST_BITS[degree]
    if total > allowed:
        at = "any degree" if degree is None else f"degree {degree}"
        raise PlanError(
            "R9",
            (f"{scheme} parameters",),
            f"A modulus of {total} bits at {at} is weaker than 128 bits: the homomorphic "
            f"encryption standard allows {allowed}",
            "Use a smaller modulus or a larger degree, or leave both out to have the smallest",
        )
    return degree or _smallest(total), primes
