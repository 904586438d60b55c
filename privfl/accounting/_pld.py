"""Epsilon by the privacy loss distribution."""

import math
from collections import Counter
from functools import lru_cache, reduce
from typing import TYPE_CHECKING

from privfl.core import Relation

if TYPE_CHECKING:
    import dp_accounting as dp
    from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution

# How far below the true delta its sums and Fourier transforms come out, a step. Against the closed
# form: up to 4e-15 for one step, 4e-17 a step for a hundred thousand.
ROUNDING = 1e-14


def has_pld(twins: "Counter[dp.DpEvent]") -> bool:
    """Tell whether every event has a known dominating pair (fixed-size sampling has none)."""
    import dp_accounting as dp

    return not any(type(event) is dp.SampledWithoutReplacementDpEvent for event in twins)


def pld_epsilon(
    twins: "Counter[dp.DpEvent]", delta: float, relation: Relation, grid: float
) -> float:
    """Return the bound from the composed loss distribution, rounded up on ``grid``.

    Meiser & Mohammadi 2018 (https://eprint.iacr.org/2017/1034), Koskela et al. 2020
    (https://arxiv.org/abs/1906.03049), with the pessimistic discretisation of Doroshenko et al.
    2022 (https://arxiv.org/abs/2207.04380). Time and memory grow with epsilon over ``grid``:
    for small noise they have no bound, so ask `rdp_epsilon` first. What rounding may hide
    is taken off ``delta``; where nothing is left the bound is infinite.

    Args:
        twins: events already converted by `zero_out_twins`.
        delta: in (0, 1).
        relation: the relation they were converted from.
        grid: distance between the losses that are told apart.
    """
    left = delta - ROUNDING * twins.total()
    if left <= 0:
        return math.inf
    # Raised to its power here: an accountant's own count is wrong for randomised response.
    powers = [_pld(event, relation, grid).self_compose(n) for event, n in twins.items()]
    return float(reduce(lambda one, other: one.compose(other), powers).get_epsilon_for_delta(left))


@lru_cache(maxsize=32)  # building one takes .3 s, composing it a million times less
def _pld(event: "dp.DpEvent", relation: Relation, grid: float) -> "PrivacyLossDistribution":
    import dp_accounting as dp
    from dp_accounting.pld import privacy_loss_distribution as pld

    step = {"value_discretization_interval": grid}
    replaced = relation is Relation.REPLACE_ONE
    native = dp.NeighboringRelation["REPLACE_ONE" if replaced else "REPLACE_SPECIAL"]
    if type(event) is dp.GaussianDpEvent:
        return pld.from_gaussian_mechanism(event.noise_multiplier, **step)
    if type(event) is dp.LaplaceDpEvent:
        return pld.from_laplace_mechanism(event.noise_multiplier, **step)
    if type(event) is dp.RandomizedResponseDpEvent:
        return pld.from_randomized_response(
            event.noise_parameter, event.num_buckets, neighboring_relation=native, **step
        )
    return pld.from_gaussian_mechanism(
        event.event.noise_multiplier,
        # Under replace-one the pair lies at plus and minus this, a distance of one in all.
        sensitivity=0.5 if replaced else 1.0,
        sampling_prob=event.sampling_probability,
        neighboring_relation=native,
        **step,
    )
