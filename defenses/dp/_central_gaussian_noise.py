"""Noise that the opener adds to the result."""

import math
from dataclasses import dataclass

from torch import Tensor

from privfl.core import (
    At,
    CompositionError,
    Contract,
    Plan,
    PlanError,
    State,
    Vantage,
)
from privfl.defenses.dp._gaussian import GaussianNoise, add_noise, gaussian_charge
from privfl.parts import Aggregator

_MANY = 1e9  # rows: enough for every rule's precondition, to ask whether it has a bound at all


@dataclass(frozen=True, repr=False)
class CentralGaussianNoise(GaussianNoise):
    """Add Gaussian noise to the aggregate, scaled by the aggregator's own sensitivity.

    The standard deviation is ``noise_multiplier`` times how far one client can move the release
    under ``relation`` (rule R2): for the mean of n clients clipped to C that is ``C / n`` under
    zero-out, for Krum ``2C``. The server is trusted: it sees the result without noise, and the
    guarantee holds against everybody who sees the release only.

    Guarantees:
        - Each coordinate, scalars included, gets independent noise of exactly that scale.
        - A rule without a known sensitivity is refused.

    >>> from privfl import Pipeline
    >>> from privfl.defenses.dp import Clip
    >>> from privfl.parts import Mean
    >>> shield = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(0.5))
    >>> shield.plan(n_clients=10, dim=3).release_std
    0.05
    """

    def check(self, given: Contract) -> Contract:
        """Stand behind an aggregator whose sensitivity is known."""
        rule = given.author("where")
        if given.where != "result" or not isinstance(rule, Aggregator):
            raise CompositionError(
                "R5",
                (self, "the clients" if given.where == "client" else rule),
                f"{self!r} is added to the result, and stands before the aggregator",
                "Put it behind the aggregator, or use "
                f"LocalGaussianNoise({self.noise_multiplier!r})",
            )
        both = given.noise == "local" and "local_and_central_noise" in given.accepting
        if given.noise != "none" and not both:
            other = given.author("noise")
            accept = ", or accept it with accepting={'local_and_central_noise'}"
            raise CompositionError(
                "R31",
                (other, self),
                f"{other!r} and {self!r} are two noises, and each is accounted alone",
                f"Keep one{accept if given.noise == 'local' else ''}",
            )
        self._require_bound(rule, given)
        if given.sees != "each" and "exact_sum_to_server" not in given.accepting:
            protocol = given.author("sees")
            raise CompositionError(
                "R31",
                (protocol, self),
                f"{protocol!r} shows the server the exact sum, before {self!r} is added",
                "Accept it with accepting={'exact_sum_to_server'}, or add noise in the clients",
            )
        return given.but(self, noise="central")

    def _require_bound(self, rule: Aggregator, given: Contract) -> None:
        if given.clip_norm == math.inf:
            raise CompositionError(
                "R2",
                (given.author("clip_norm"), self),
                f"{self!r} needs a bound on each update, and nobody clips",
                "Put Clip(…) before the protocol",
            )
        if given.weighting == "examples":
            weigh = given.author("weighting")
            raise CompositionError(
                "R2",
                (weigh, self),
                f"{weigh!r} divides by a private sum of example counts, which nobody noised",
                "Give Weigh a public total, or drop it",
            )
        if rule.sensitivity(1.0, _MANY, self.relation) is None:
            raise CompositionError(
                "R2",
                (rule, self),
                f"No bound is known on how far one client moves {rule!r} under {self.relation}",
                "Use another relation, or Mean(), or LocalGaussianNoise before the protocol",
            )

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        """State the noise of the release and charge it against those who see only that."""
        del public
        charge = gaussian_charge(self.noise_multiplier, Vantage.OUTSIDER, self.relation)
        return given.but(
            release_std=math.hypot(given.release_std, self._std(given)),
            charges=(*given.charges, charge),
        )

    def _std(self, plan: Plan) -> float:
        if self.relation not in plan.sensitivity:
            raise PlanError(
                "R2", (self,), f"No sensitivity is known under {self.relation}", "Use another one"
            )
        return self.noise_multiplier * plan.sensitivity[self.relation]

    def describe(self, plan: Plan, contract: Contract) -> str:
        """Say how much noise the release gets."""
        del contract
        return f"the release gets noise of std {self._std(plan):.3g} on every coordinate"

    def apply(self, x: Tensor, at: At) -> Tensor:
        """Add the noise; where owners differ the sum is noised and then divided (rule R2)."""
        std: float | Tensor = self._std(at.plan)
        if at.cohort.owners is not None:
            owned = at.cohort.weight_of(at.cohort.members, len(x))
            std = std * at.plan.total_weight / owned.where(owned > 0, owned.new_tensor(math.inf))
        return add_noise(x, std, at.generator)
