"""What groups cost: how few hide each other, and how many attackers spoil a rule."""

import math

from privfl.parts._sum_protocol import SumProtocol


def hidden_among(inner: SumProtocol, size: int, n: int) -> tuple[str, ...]:
    """Say how private and how robust groups of ``size`` are, a sentence each (rule R8)."""
    g, corrupt, borne = n // size, count_of(inner.corrupt, n), count_of(inner.corrupt, size)
    fewest, alone = inner.min_survivors(size), mates_corrupt(n, size, corrupt, size - 1)
    more = mates_corrupt(n, size, corrupt, borne + 1)
    return (
        f"A group's sum holds at least {fewest} updates, {fewest - borne} of honest clients where "
        f"{borne} of {size} work with the server. All {size - 1} mates of a client are corrupt "
        f"with a chance of {_power(alone)} a round ({corrupt} of {n}).",
        f"A client's group holds more of them than its sum bears ({borne}) with a chance of "
        f"{more:.2g} a round; a larger corrupt= bears more.",
        f"{g} groups bear {(g - 1) // 2} attackers under a median or a trimmed mean, and "
        f"{max((g - 3) // 2, 0)} under Krum, whichever groups they are in.",
    )


def count_of(fraction: float, n: int) -> int:
    """Return how many of ``n`` are at most a fraction of them.

    >>> count_of(0.29, 100)
    29
    """
    return math.floor(fraction * n * (1 + 1e-12))  # .29 * 100 is 28.999999999999996


def mates_corrupt(n: int, size: int, corrupt: int, least: int) -> float:
    """Return the chance that ``least`` mates or more of an honest member of a group are corrupt.

    >>> math.ceil(math.log2(mates_corrupt(n=1000, size=8, corrupt=100, least=7)))
    -23
    """
    honest, mates = n - 1 - corrupt, size - 1
    ways = sum(
        math.comb(corrupt, k) * math.comb(honest, mates - k) for k in range(least, mates + 1)
    )
    return ways / math.comb(n - 1, mates)


def _power(p: float) -> str:
    return f"2^{math.ceil(math.log2(p))}" if p else "0"
