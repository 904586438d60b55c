"""Epsilon by Renyi differential privacy."""

import logging
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from privfl.accounting._gaussians import Array
from privfl.core import Relation

if TYPE_CHECKING:
    import dp_accounting as dp

# An order's divergence can come out below zero by a rounding, which would read as epsilon 0.
ROUNDING = 1e-14  # over ten times what is seen in one step, at any sampling rate and noise


def rdp_epsilon(twins: "Counter[dp.DpEvent]", delta: float, relation: Relation) -> float:
    """Return a bound that is quick at any noise; infinite where no Renyi bound is known.

    Mironov 2017 (https://arxiv.org/abs/1702.07476), for Poisson sampling Mironov et al. 2019
    (https://arxiv.org/abs/1908.10530), for fixed-size sampling Wang et al. 2019
    (https://arxiv.org/abs/1808.00087, theorem 27), for repeating and selecting Papernot & Steinke
    2021 (https://arxiv.org/abs/2110.03620, theorems 2 and 6).

    Args:
        twins: events already converted by `zero_out_twins`.
        delta: in (0, 1).
        relation: the relation they were converted from.
    """
    from dp_accounting.rdp import RdpAccountant
    from dp_accounting.rdp.rdp_privacy_accountant import compute_epsilon

    orders = RdpAccountant().orders
    total = np.zeros_like(orders)
    for event, count in twins.items():
        total = total + count * _divergences(event, relation)
    return float(compute_epsilon(orders, total, delta)[0]) if np.isfinite(total).any() else math.inf


@lru_cache(maxsize=256)  # a few kilobytes each; a sampled event takes tens of milliseconds
def _divergences(event: "dp.DpEvent", relation: Relation) -> Array:
    """Return the Renyi divergence of one release at each order; infinite where none is known."""
    from dp_accounting import NeighboringRelation, ZCDpEvent
    from dp_accounting.rdp import RdpAccountant

    native = {Relation.ZERO_OUT: "REPLACE_SPECIAL", Relation.ADD_REMOVE: "ADD_OR_REMOVE_ONE"}
    name = native.get(relation, "REPLACE_ONE")
    accountant = RdpAccountant(neighboring_relation=NeighboringRelation[name])
    if not accountant.supports(event):
        return np.full_like(accountant.orders, math.inf)
    with _dropped_orders_unsaid():
        accountant.compose(event)
        accountant.compose(ZCDpEvent(rho=0.0, xi=ROUNDING))  # to every order
    return np.asarray(accountant.rdp)


@contextmanager
def _dropped_orders_unsaid() -> Iterator[None]:
    """Keep the accountant from logging each order it leaves out: that only loosens the bound."""
    logger = logging.getLogger("absl")
    mute = logging.Filter("nothing below this name")
    logger.addFilter(mute)
    try:
        yield
    finally:
        logger.removeFilter(mute)
