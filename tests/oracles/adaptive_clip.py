"""Adaptive clipping as Andrew et al. 2021 write it (algorithm 1), without noise, one loop a line.

https://arxiv.org/abs/1905.03871. Norms are given; what is clipped is not needed for the norm.
"""

import math
from collections.abc import Sequence


def norms_of_rounds(
    norms: Sequence[Sequence[float]], start: float, quantile: float, rate: float
) -> list[float]:
    """The clip norm behind each round."""
    out, clip = [], start
    for lengths in norms:
        bits = [1 if length <= clip else 0 for length in lengths]
        clip *= math.exp(-rate * (sum(bits) / len(bits) - quantile))
        out.append(clip)
    return out


def multiplier_of_updates(total: float, bit_std: float) -> float:
    """What is left for the updates of a joint multiplier ``total`` (their theorem 1)."""
    return (total**-2 - (2 * bit_std) ** -2) ** -0.5
