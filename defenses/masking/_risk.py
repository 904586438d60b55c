"""What can go wrong on a sparse graph: too many shares in corrupt hands, a cut, too few shares."""

import math

from privfl.defenses.masking._hypergeometric import log2_tail


def exposed(n: int, neighbors: int, threshold: int, corrupt: int) -> float:
    """Bound log2 of the chance that someone has ``threshold`` corrupt neighbours or more.

    The neighbours of one are Hypergeom(n - 1, corrupt, k). The union is over all n, the corrupt as
    well: a little more than the honest ones' chance.
    """
    return min(math.log2(n) + log2_tail(n - 1, corrupt, neighbors, threshold), 0.0)


def separated(n: int, neighbors: int, threshold: int, corrupt: int) -> float:
    """Bound log2 of the chance that dropouts of the server's choice split the ring.

    Who says that all honest clients on a stretch of k / 2 places are gone has cut the ring there;
    between two such cuts lies a sum of its own. The survivor at the edge of a cut has k / 2
    neighbours left on its other side, its own share, and the corrupt ones in the stretch: its self
    mask opens if these are ``threshold``. So two disjoint stretches must hold threshold - 1 - k / 2
    corrupt clients each. Given an honest client at either edge, either count is
    Hypergeom(n - 2, corrupt, k / 2), and both being large is less likely than if they were
    independent (drawn without replacement, they are negatively associated). There are n^2 pairs.
    """
    half = neighbors // 2
    return min(2 * (math.log2(n) + log2_tail(n - 2, corrupt, half, threshold - 1 - half)), 0.0)


def risk(n: int, neighbors: int, threshold: int, corrupt: int) -> float:
    """Bound log2 of the chance that someone is exposed or some are separated."""
    low, high = sorted(bound(n, neighbors, threshold, corrupt) for bound in (exposed, separated))
    return high if low == -math.inf else min(high + math.log2(1 + 2 ** (low - high)), 0.0)


def fails(n: int, neighbors: int, threshold: int, dropped: int) -> float:
    """Bound log2 of the chance that fewer than ``threshold`` neighbours of someone are left.

    Hypergeom(n - 1, dropped, k) are gone. The own share is not counted: it goes with its owner.
    """
    too_many = max(neighbors - threshold + 1, 0)
    return min(math.log2(n) + log2_tail(n - 1, dropped, neighbors, too_many), 0.0)
