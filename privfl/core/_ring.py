"""The ring of integers in which a sum of honest clients never wraps (rule R6)."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privfl.core._errors import PlanError
from privfl.core._plan import Plan

TAIL = 9.0  # noise beyond so many standard deviations of the sum may wrap: below 3e-19 a coordinate


def ring_bits(plan: Plan) -> int:
    """Return the bits of the smallest ring that holds every sum of honest clients (rule R6).

    That is ``n`` times the largest integer of the data, and `TAIL` standard deviations of noise.
    """
    levels = plan.levels or math.ceil(plan.bound / plan.step)
    largest = plan.n_clients * levels
    if plan.row_std:
        largest += math.ceil(TAIL * math.sqrt(plan.n_clients) * plan.row_std / plan.step)
    return (2 * largest).bit_length()


def wrap_probability(plan: Plan) -> float:
    """Bound the chance that noise wraps around the ring in some coordinate."""
    return plan.dim * math.erfc(TAIL / math.sqrt(2)) if plan.row_std else 0.0


def about_wrapping(plan: Plan) -> tuple[str, ...]:
    """Say how often a sum is wrong, where noise makes that possible."""
    if not plan.row_std:
        return ()
    return (
        f"Noise may wrap around the ring with a chance of {wrap_probability(plan):.1g}: such a "
        "release is wrong, and no less private.",
    )


def in_a_ring(plan: Plan, part: object) -> Plan:
    """State the ring, and how likely noise wraps around it.

    Raises:
        PlanError: for a ring of more than 64 bits.
    """
    bits = ring_bits(plan)
    if bits > 64:
        raise PlanError(
            "R6",
            (part,),
            f"The sum needs a ring of {bits} bits, and 64 is the most",
            "Use fewer bits in Quantize, or less noise",
        )
    return plan.but(ring_bits=bits, wrap_probability=wrap_probability(plan))


def centred(words: NDArray[np.unsignedinteger], bits: int) -> Tensor:
    """Return the lowest ``bits`` bits as signed numbers: (d,) words -> (d,) int64."""
    wide = torch.from_numpy(words.astype(np.uint64).view(np.int64))
    return (wide << (64 - bits)) >> (64 - bits)  # an arithmetic shift carries the sign down
