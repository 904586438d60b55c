"""CKKS: how far off a sum is, and how much noise hides the key where it is released."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from privfl.core import PlanError
from privfl.core._ring import TAIL
from privfl.defenses.he._parameters import Parameters, Sum, leanest
from privfl.defenses.he._standard import Primes, Rings

ERROR_VARIANCE = 10.5  # of a fresh ciphertext's coefficient, a centred binomial of 2 x 21 bits
ROUNDING = 0.5  # the most that encoding moves a coefficient
STATISTICAL_BITS = 30  # s of rule R9
CHANCE = 40 * math.log(2)  # a bound that is stated is passed with a chance below 2^-40
FLOAT = 2.0**-48  # relative error of the transforms between slots and coefficients in float64
SLACK = 0.5  # bits of the modulus that no honest sum reaches
SLACK_OF_ONE = 1.0  # nor SEAL's encoder, which a sum of one client would meet first
LONGER = 1 + 2.0**-10  # by what float32 rounds, an update may pass its bound


@lru_cache(maxsize=256)
def approximate(
    wanted: Sum, tolerance: float, rounds: int, rings: Rings, scale: float | None = None
) -> Parameters:
    """Return the leanest ring in which everybody's mean is right to ``tolerance``.

    Raises:
        PlanError: where none is; it says how far the best goes.
    """
    tried = [
        found
        for degree, moduli in rings
        for found in _until(tolerance, wanted, rounds, degree, moduli, scale)
    ]
    fits = [found for found in tried if found.error <= tolerance]
    if not fits:
        best = min((found.error for found in tried), default=math.inf)
        refusal = _refusal(wanted, tolerance, rounds, best, scale)
        raise PlanError("R9", ("CKKS parameters",), *refusal)
    return leanest(fits)


def _until(
    tolerance: float,
    wanted: Sum,
    rounds: int,
    degree: int,
    moduli: Sequence[Primes],
    scale: float | None,
) -> Iterator[Parameters]:
    """Yield what a degree's moduli reach, up to the first that is good enough."""
    flood = flood_std(wanted, degree, rounds)
    for primes in moduli:
        bare = Parameters("CKKS", degree, primes, wanted.dim, flood_std=flood)
        used = largest_scale(wanted, bare) if scale is None else scale
        margin = bare.data_bits - 1 - math.log2(_largest(wanted, degree, used, flood))
        if margin >= _slack(wanted) - 1e-9:
            error = error_of_mean(wanted, degree, used, flood)
            yield replace(bare, scale=used, error=error, margin_bits=margin)
            if error <= tolerance:
                return


def flood_std(wanted: Sum, degree: int, rounds: int) -> float:
    """Return the deviation that hides the key in ``rounds`` of releases, a coefficient (rule R9).

    Li, Micciancio, Schultz and Sorrell 2022 (https://eprint.iacr.org/2022/816): sqrt(12 tau)
    2^(s/2) times the L2 norm of a sum's error, of which tau ciphertexts are released.
    """
    released = rounds * wanted.at_once * -(-wanted.dim // degree)
    if not released:
        return 0.0
    spread = degree + 2 * math.sqrt(degree * CHANCE) + 2 * CHANCE  # of a sub-Gaussian's norm
    length = math.sqrt(wanted.n_clients * ERROR_VARIANCE * spread)
    return math.sqrt(12 * released) * 2 ** (STATISTICAL_BITS / 2) * length


def error_of_mean(wanted: Sum, degree: int, scale: float, flood: float) -> float:
    """Bound how far off a coordinate of everybody's mean is.

    A slot adds up ``degree`` coefficients, so that encoding moves it by at most half of them, and
    what is random has ``degree / 2`` times a coefficient's variance.
    """
    n, slots = wanted.n_clients, -(-wanted.dim // degree) * degree
    far = math.sqrt(2 * (math.log(2 * slots) + CHANCE))
    rounding = n * ROUNDING * degree
    random = far * math.sqrt(degree / 2 * (n * ERROR_VARIANCE + flood**2))
    lengths = n * scale * wanted.bound + far * math.sqrt(degree / 2) * flood
    return (rounding + random + FLOAT * lengths) / (n * scale)


def largest_scale(wanted: Sum, bare: Parameters) -> float:
    """Return the largest power of two whose sums stay within the modulus."""
    room = 2.0 ** (bare.data_bits - 1 - _slack(wanted)) - _largest(
        wanted, bare.degree, 0.0, bare.flood_std
    )
    if room <= 0:
        return 1.0
    each = _largest(wanted, bare.degree, 1.0, 0.0) - _largest(wanted, bare.degree, 0.0, 0.0)
    return 2.0 ** math.floor(math.log2(room / each))


def _slack(wanted: Sum) -> float:
    return SLACK if wanted.n_clients > 1 else SLACK_OF_ONE


def _largest(wanted: Sum, degree: int, scale: float, flood: float) -> float:
    """Bound a coefficient of a sum.

    A vector of L2 norm C in the slots of one ciphertext has coefficients of at most sqrt(2 /
    degree) C, by Cauchy and Schwarz, and as much of Gaussian noise's deviation.
    """
    n, narrow = wanted.n_clients, math.sqrt(2 / degree)
    data = n * LONGER * wanted.bound + TAIL * math.sqrt(n) * wanted.noise_std
    errors = n * (21 + ROUNDING)
    slots = -(-wanted.dim // degree) * degree
    return scale * narrow * data + errors + math.sqrt(2 * (math.log(2 * slots) + CHANCE)) * flood


def _refusal(
    wanted: Sum, tolerance: float, rounds: int, best: float, scale: float | None
) -> tuple[str, str]:
    released = f", released in {rounds} rounds under one key" if rounds else ""
    about = f"The mean of {wanted.n_clients} updates of norm {wanted.bound:g}{released}"
    if scale is not None and best == math.inf:
        return (
            f"{about} does not fit into the modulus at a scale of {scale:g}: it would wrap around",
            "Use a smaller scale or a larger modulus, or leave both out",
        )
    fix = "Ask for fewer bits, or leave degree, modulus_bits and scale out"
    if rounds:
        fix = "Ask for fewer bits, or release fewer rounds under one key"
    return f"{about} would be off by {best:.2g}, and {tolerance:.2g} was asked for", fix
