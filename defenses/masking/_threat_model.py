"""What a masked sum rests on: how many clients lie, how many vanish, and the graph that copes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from privfl.core import require, require_count
from privfl.defenses.masking._risk import fails, risk
from privfl.parts._mates import count_of

COMPLETE_UP_TO = 100  # clients: up to here everybody is everybody's neighbour unless told otherwise
SECURITY = 40  # bits: on one graph nobody is opened but with a chance of 2^-40
CORRECTNESS = 30  # bits: no secret is lost at the declared dropouts but with a chance of 2^-30
# bits: a server and its clients choose whose keys they relay and which keys they make, and so draw
# a graph anew for n hashes. 2^40 times n hashes is more than an attack on a round is worth.
GRINDING = 40


@dataclass(frozen=True)
class Safety:
    """State what a round of ``n`` clients rests on.

    Attributes:
        n: clients.
        neighbors: of each; ``n - 1`` on the complete graph.
        threshold: how many shares open a secret.
        quorum: how many must sign one survivor set. Two sets never both have it: an honest client
            signs one, and 2 quorum - n is more than ``corrupt``.
        corrupt: how many work with the server, at most.
        dropped: how many vanish, at most, without losing the sum.
        exposed: log2 of a bound on the chance that, on one drawn graph, the server can open less
            than the one sum: see `risk`; -inf on the complete graph.
        fails: log2 of a bound on the chance that some secret stays shut with ``dropped`` gone.

    >>> safety(30)
    Safety(n=30, neighbors=29, threshold=17, quorum=17, corrupt=3, dropped=3, exposed=-inf, \
fails=-inf)
    """

    n: int
    neighbors: int
    threshold: int
    quorum: int
    corrupt: int
    dropped: int
    exposed: float
    fails: float

    @property
    def complete(self) -> bool:
        """Whether everybody is everybody's neighbour."""
        return self.neighbors == self.n - 1

    @property
    def min_survivors(self) -> int:
        """How many must stay for a sum to be opened."""
        return max(self.threshold, self.quorum) if self.complete else self.quorum

    @property
    def anonymity(self) -> int:
        """How many honest updates a sum holds at least."""
        return self.min_survivors - self.corrupt


def safety(
    n: int,
    *,
    threshold: int | None = None,
    neighbors: int | None = None,
    corrupt: float = 0.1,
    dropout: float = 0.1,
) -> Safety:
    """Map a number of clients to the smallest graph and threshold that are safe for them.

    Complete graph (Bonawitz et al. 2017, https://eprint.iacr.org/2017/281, section 6): a threshold
    above (n + corrupt) / 2. Sparse graph (Bell et al. 2020, https://eprint.iacr.org/2020/704,
    section 3): a ring in random order, each client joined to k / 2 on either side. As a quorum of
    all clients signs one survivor set, no honest client shows both kinds of shares, so that
    2 threshold > k is not asked for by itself. What is asked for is `risk` and `fails`.

    Args:
        n: clients, at least 2.
        threshold: how many shares open a secret; None: the smallest that is safe.
        neighbors: of each client, even, or n - 1 and more for the complete graph; None: the
            complete graph up to 100 clients, above the least even number with a margin for a server
            that tries 2^40 graphs.
        corrupt: fraction of the clients that may work with the server; rounded down to a number.
        dropout: fraction that may vanish; rounded down to a number.

    Guarantees:
        - Two survivor sets never both have a quorum, whatever the corrupt clients sign.
        - Fewer than ``threshold`` shares of anything are in corrupt hands, and no survivors can be
          cut off from the others and summed alone, whoever is said to be gone. On a sparse graph
          that fails with a chance of at most 2^-40 (2^-80 where both numbers are left out).
        - With ``dropped`` clients gone every secret still opens, with a chance of 1 - 2^-30.

    Raises:
        ValueError: where that cannot be had, with the smallest value that is safe.

    >>> found = safety(1000)
    >>> found.neighbors, found.threshold, found.quorum, round(found.exposed)
    (152, 110, 551, -80)
    """
    require_count("n", n, least=2)
    bad, gone = _count("corrupt", corrupt, n), _count("dropout", dropout, n)
    if threshold is not None:
        require_count("threshold", threshold, least=2)
    if neighbors is not None:
        require_count("neighbors", neighbors, least=2)
    graph = _graph(n, threshold, neighbors, bad, gone)
    return _complete(n, threshold, bad, gone) if graph is None else _sparse(n, *graph, bad, gone)


@lru_cache(maxsize=256)
def smallest_graph(
    n: int,
    corrupt: int,
    dropped: int,
    security: int,
    risk: Callable[[int, int, int, int], float] = risk,
) -> tuple[int, int] | None:
    """Return the fewest neighbours (even) and the least threshold for them, or None.

    ``risk`` is to be at most 2^-security, with as much correctness as always.

    >>> smallest_graph(1000, corrupt=100, dropped=100, security=40)
    (126, 88)
    """
    threshold = 2  # one share that opens a secret would be the secret
    for k in range(2, n - 1, 2):
        # the threshold never falls while k grows, so that both are walked through once
        while threshold <= k and risk(n, k, threshold, corrupt) > -security:
            threshold += 1
        if threshold <= k and fails(n, k, threshold, dropped) <= -CORRECTNESS:
            return k, threshold
    return None


def _count(name: str, fraction: float, n: int) -> int:
    number = isinstance(fraction, int | float) and not isinstance(fraction, bool)
    require(number and 0 <= fraction < 1, f"{name} must be at least 0 and below 1", repr(fraction))
    return count_of(fraction, n)


def _graph(
    n: int, threshold: int | None, neighbors: int | None, corrupt: int, dropped: int
) -> tuple[int, int] | None:
    """Return neighbours and threshold, or None for the complete graph."""
    if neighbors is None and n <= COMPLETE_UP_TO:
        return None
    if neighbors is not None and neighbors >= n - 1:
        return None
    if neighbors is not None:
        require(neighbors % 2 == 0, "neighbors must be an even number", neighbors)
        return neighbors, threshold or _threshold_for(n, neighbors, corrupt, dropped)
    if threshold is not None:
        return _neighbors_for(n, threshold, dropped)
    return smallest_graph(n, corrupt, dropped, SECURITY + GRINDING)


def _neighbors_for(n: int, threshold: int, dropped: int) -> tuple[int, int] | None:
    """Return the fewest neighbours of whom enough stay: each more could be corrupt."""
    for k in range(threshold + threshold % 2, n - 1, 2):
        if fails(n, k, threshold, dropped) <= -CORRECTNESS:
            return k, threshold
    return None


def _threshold_for(n: int, neighbors: int, corrupt: int, dropped: int) -> int:
    """Return the least threshold with the margin, or the largest that dropouts leave."""
    low, high = _range(n, neighbors, corrupt, dropped, SECURITY + GRINDING)
    return max(min(low, high), 2)


@lru_cache(maxsize=256)
def _range(n: int, neighbors: int, corrupt: int, dropped: int, security: int) -> tuple[int, int]:
    """Return the least threshold that hides and the largest that opens."""
    k = neighbors
    low = next((t for t in range(2, k + 1) if risk(n, k, t, corrupt) <= -security), k + 1)
    high = next((t for t in range(k, 1, -1) if fails(n, k, t, dropped) <= -CORRECTNESS), 0)
    return low, high


def _complete(n: int, threshold: int | None, corrupt: int, dropped: int) -> Safety:
    least = _quorum(n, corrupt)
    _require_honest(n, least, corrupt)
    _require_stay(n, least, corrupt, dropped)
    t = least if threshold is None else threshold
    wanted = f"threshold must be {least} to {n - dropped}, {_among(n, corrupt, dropped)}"
    require(least <= t <= n - dropped, wanted, t, "Leave it out to have the smallest")
    return Safety(n, n - 1, t, t, corrupt, dropped, exposed=-math.inf, fails=-math.inf)


def _sparse(n: int, neighbors: int, threshold: int, corrupt: int, dropped: int) -> Safety:
    quorum = _quorum(n, corrupt)
    _require_honest(n, quorum, corrupt)
    _require_stay(n, quorum, corrupt, dropped)
    low, high = _range(n, neighbors, corrupt, dropped, SECURITY)
    among = _among(n, corrupt, dropped)
    if low > high:
        k, t = smallest_graph(n, corrupt, dropped, SECURITY) or (n - 1, quorum)
        wanted = f"neighbors must be at least {k}, with threshold {t}, {among}"
        require(False, wanted, f"{neighbors}, threshold {threshold}", "Leave both out")
    wanted = f"threshold must be {low} to {high} for {neighbors} neighbors, {among}"
    require(low <= threshold <= high, wanted, threshold, "Leave it out to have a safe one")
    return Safety(
        n,
        neighbors,
        threshold,
        quorum,
        corrupt,
        dropped,
        exposed=risk(n, neighbors, threshold, corrupt),
        fails=fails(n, neighbors, threshold, dropped),
    )


def _quorum(n: int, corrupt: int) -> int:
    return (n + corrupt) // 2 + 1


def _require_honest(n: int, survivors: int, corrupt: int) -> None:
    wanted = (
        f"At least two honest updates must be in a sum of {survivors} of {n}, {corrupt} corrupt"
    )
    require(survivors - corrupt >= 2, wanted, survivors - corrupt, "Lower corrupt, or add clients")


def _require_stay(n: int, quorum: int, corrupt: int, dropped: int) -> None:
    wanted = f"dropout must leave at least {quorum} of {n} clients, {corrupt} of them corrupt"
    fix = f"Lower dropout to at most {n - quorum} clients, or lower corrupt"
    require(n - dropped >= quorum, wanted, n - dropped, fix)


def _among(n: int, corrupt: int, dropped: int) -> str:
    return f"with {corrupt} of {n} clients corrupt and {dropped} gone"
