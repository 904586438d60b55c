"""What groups cost: how few hide each other, and how many attackers spoil a rule."""

import math

from privfl.parts._sum_protocol import SumProtocol


def hidden_among(inner: SumProtocol, size: int, n: int) -> tuple[str, ...]:
    """Say how private and how robust groups of ``size`` are, a sentence each (rule R8)."""
    g, corrupt = n // size, math.floor(inner.corrupt * n * (1 + 1e-12))
    fewest, mates = inner.min_survivors(size), math.floor(inner.corrupt * size * (1 + 1e-12))
    chance = all_mates_corrupt(n, size, corrupt)
    return (
        f"A group's sum holds at least {fewest} updates, {fewest - mates} of honest clients where "
        f"{inner.corrupt:.0%} are corrupt. All {size - 1} mates of a client are corrupt "
        f"{_chance(chance)} ({corrupt} of {n}).",
        f"{g} groups bear {(g - 1) // 2} attackers under a median or a trimmed mean, and "
        f"{max((g - 3) // 2, 0)} under Krum, whichever groups they are in.",
    )


def all_mates_corrupt(n: int, size: int, corrupt: int) -> float:
    """Return the chance that all mates of an honest member of a drawn group are corrupt.

    >>> math.ceil(math.log2(all_mates_corrupt(n=1000, size=8, corrupt=100)))
    -23
    """
    return math.comb(corrupt, size - 1) / math.comb(n - 1, size - 1)


def _chance(p: float) -> str:
    return f"with a chance of 2^{math.ceil(math.log2(p))} a round" if p else "never"
