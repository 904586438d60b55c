"""Parameters for the question that people ask: so many clients, this clip, so many bits."""

from collections.abc import Sequence
from dataclasses import replace

from privfl.core import require, require_count, require_positive
from privfl.defenses.he._approximate import approximate
from privfl.defenses.he._exact import exact
from privfl.defenses.he._parameters import Parameters, Scheme, Sum
from privfl.defenses.he._standard import rings


def parameters(
    n_clients: int,
    clip_norm: float,
    bits: int,
    rounds: int = 0,
    *,
    dim: int = 1_000_000,
    scheme: Scheme = "CKKS",
    degree: int | None = None,
    modulus_bits: int | Sequence[int] | None = None,
    scale: float | None = None,
) -> Parameters:
    """Plan the leanest ciphertexts in which a sum of clipped updates is exact enough.

    Args:
        n_clients: whose updates are added.
        clip_norm: L2 bound of an update.
        bits: of precision. CKKS: the mean is right to ``clip_norm * 2**-bits``. BFV: an update is
            rounded to a grid of ``2**bits - 1`` values, and added exactly.
        rounds: in which sums of CKKS are released under one key to somebody who does not hold it,
            so that they are flooded (rule R9). 0: none is.
        dim: coordinates of an update: ``rounds`` counts ciphertexts.
        scheme: ``CKKS`` or ``BFV``.
        degree: to judge a ring that somebody chose; None: the largest up to 8,192 whose bytes are
            within 5 % of the least, since fewer ciphertexts are faster.
        modulus_bits: of it; several numbers are several primes, of which the last holds no data.
        scale: of CKKS; None: the largest that fits.

    Guarantees:
        - Degree and modulus are in the homomorphic encryption standard's table for 128 bits.
        - No coordinate of the mean is off by more than ``error``, but with a chance below 2^-40.
          For BFV that is a step of the grid: the errors of honest ciphertexts have a bound, so that
          decryption cannot fail.

    Raises:
        PlanError: for a ring outside of the table, or too small for what is asked.
        ValueError: for numbers that are none.

    >>> found = parameters(n_clients=10, clip_norm=1.0, bits=24)
    >>> found.degree, found.modulus_bits, f"{found.error:.1e}", f"{found.bytes_per_parameter:.2f}"
    (8192, 36, '3.4e-08', '4.54')
    >>> tutorial = {"degree": 4096, "modulus_bits": (40, 20, 40), "scale": 2**20}
    >>> parameters(n_clients=100, clip_norm=1.0, bits=16, **tutorial)
    Traceback (most recent call last):
    ...
    privfl.core._errors.PlanError: [R9] The mean of 100 updates of norm 1 would be off by 0.0021, \
and 1.5e-05 was asked for.
      Ask for fewer bits, or leave degree, modulus_bits and scale out.
    """
    require_count("n_clients", n_clients, least=1)
    require_positive("clip_norm", clip_norm)
    require_count("bits", bits, least=2)
    require_count("rounds", rounds)
    require_count("dim", dim, least=1)
    require(scheme in ("CKKS", "BFV"), "scheme must be 'CKKS' or 'BFV'", repr(scheme))
    for name, value in {"n_clients": n_clients, "rounds": rounds, "dim": dim}.items():
        require(value < 2**40, f"{name} must be below 2^40", value)
    require(2.0**-100 < clip_norm < 2.0**100, "clip_norm must lie within 2^±100", clip_norm)
    require(bits <= 60, "bits must be at most 60", bits)
    allowed = rings(scheme, degree, modulus_bits)
    if scheme == "CKKS":
        if scale is not None:
            require_positive("scale", scale)
        wanted = Sum(n_clients, clip_norm, dim)
        return approximate(wanted, clip_norm * 2.0**-bits, rounds, allowed, scale)
    require(scale is None, "BFV has no scale", scale)
    levels = 2 ** (bits - 1) - 1
    found = exact(n_clients, dim, (2 * n_clients * levels).bit_length(), allowed)
    return replace(found, error=clip_norm / levels)
