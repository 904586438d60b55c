"""How much noise a pipeline needs to stay within a budget."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from privfl.core import (
    Budget,
    Charge,
    Cohort,
    CompositionError,
    require,
    require_count,
    require_small_delta,
)
from privfl.rounds import Line, Opening, Setting
from privfl.sampling import Everybody, Sampling, amplified

DIM = 1000  # of the update that is planned: what a Gaussian is charged does not depend on it


def noise_for(
    line: Line,
    budget: Budget,
    *,
    n_clients: int,
    rounds: int,
    sampling: Sampling | None = None,
) -> float:
    """Return the least multiplier of the line's noise that keeps ``rounds`` within ``budget``.

    Args:
        line: with one noise; its own multiplier does not matter.
        budget: for every claim that the line makes, or for those it asks about.
        n_clients: from whom cohorts are drawn.
        rounds: how many.
        sampling: how cohorts are drawn; only an outsider is kept from learning them.

    Raises:
        CompositionError: where the line has no noise, or two of them.
        ValueError: where no claim of the line is about the budget's unit and adversary.
    """
    require_count("rounds", rounds, least=1)
    fix = "Say Budget(epsilon=8, delta=1e-5)"
    require(isinstance(budget, Budget), "noise_for takes a Budget", repr(budget), fix)
    require_small_delta(budget.delta, n_clients, "clients")
    fix = "Say Poisson(rate=0.1)"
    known = isinstance(sampling, Sampling | None)
    require(known, "sampling= takes one of privfl.sampling", repr(sampling), fix)
    place, how = _noise_at(line), Everybody() if sampling is None else sampling
    cohort = drawn_cohort(how, n_clients)

    def charges(multiplier: float) -> tuple[Charge, ...]:
        parts = list(line.parts)
        noise: Any = parts[place]
        parts[place] = replace(noise, noise_multiplier=multiplier)
        noisy = Line(*parts, accepting=line.accepting)
        opening = Opening.fresh(noisy, cohort, DIM, nonce=bytes(16))
        return amplified(Setting(noisy, opening).plan.charges, how, n_clients, member=True)

    asked = [k for k, charge in enumerate(charges(1.0)) if _is_about(charge, budget)]
    wanted = f"The budget must be about a claim that {line!r} makes"
    require(bool(asked), wanted, f"unit={budget.unit}, vantage={budget.vantage}")
    return max(_calibrated(charges, k, rounds, budget) for k in asked)


def _calibrated(
    charges: Callable[[float], tuple[Charge, ...]], k: int, rounds: int, budget: Budget
) -> float:
    """Return the least multiplier with which the k-th claim stays within the budget."""
    from privfl.accounting import calibrate

    charge = charges(1.0)[k]
    n = charge.count * rounds
    delta = budget.delta - n * charge.delta
    return calibrate(lambda z: charges(z)[k].event, budget.epsilon, delta, charge.relation, n)


def drawn_cohort(sampling: Sampling, n_clients: int) -> Cohort:
    """Return a cohort of the size that is expected."""
    require_count("n_clients", n_clients, least=1)
    expected = sampling.expected(n_clients)
    members = tuple(range(max(1, round(expected))))
    return Cohort(members, expected=expected if sampling.size_varies else None)


def _noise_at(line: Line) -> int:
    """Return the place of the only noise among what was written."""
    places = [k for k, part in enumerate(line.parts) if hasattr(part, "noise_multiplier")]
    if len(places) != 1:
        noises = tuple(line.parts[k] for k in places)
        raise CompositionError(
            "R31",
            noises or (line,),
            f"{line!r} has {len(places)} noises, and the budget calibrates one",
            "Keep one, such as CentralGaussianNoise(1.0) behind Mean()",
        )
    return places[0]


def _is_about(charge: Charge, budget: Budget) -> bool:
    unit = budget.unit in (None, charge.unit)
    return unit and (budget.vantage is None or charge.vantage.covers(budget.vantage))
