"""Noise that each client adds itself."""

import math
from dataclasses import dataclass

from torch import Tensor

from privfl.core import (
    At,
    CompositionError,
    Contract,
    Plan,
    State,
    Vantage,
)
from privfl.defenses.dp._gaussian import GaussianNoise, add_noise, gaussian_charge


@dataclass(frozen=True, repr=False)
class LocalGaussianNoise(GaussianNoise):
    """Add Gaussian noise of std ``noise_multiplier * C`` to each client's own update.

    ``C`` is the joint bound of the clip in front of it. It holds against everybody who sees the
    message, the server included, and is accounted as local privacy: any two messages are
    neighbours, ``2C`` apart, so the event is Gaussian(noise_multiplier / 2) (rule R5). The mean of
    n messages still carries noise of std ``noise_multiplier * C / sqrt(n)``.

    Guarantees:
        - Each coordinate, scalars included, gets independent noise of exactly that scale.

    >>> from privfl import Pipeline
    >>> from privfl.defenses.dp import Clip
    >>> Pipeline(Clip(1.0), LocalGaussianNoise(0.5)).plan(n_clients=4, dim=10).release_std
    0.25
    """

    def check(self, given: Contract) -> Contract:
        """Stand in the client, behind a clip, once."""
        if given.where != "client":
            raise CompositionError(
                "R5",
                (given.author("where"), self),
                f"{self!r} is added by each client, and stands where the server runs",
                "Put it before the protocol, or use "
                f"CentralGaussianNoise({self.noise_multiplier!r})",
            )
        if given.clip_norm == math.inf or given.form != "real":
            other = given.author("clip_norm" if given.clip_norm == math.inf else "form")
            raise CompositionError(
                "R5",
                (other, self),
                f"{self!r} needs real numbers with a bound in front of it, and finds {other}",
                "Put Clip(…) right before it",
            )
        if given.weighting == "examples":
            weigh = given.author("weighting")
            raise CompositionError(
                "R2",
                (weigh, self),
                f"{weigh!r} divides by the realised sum of example counts, which {self!r} noises",
                "Give Weigh a public total, or drop it",
            )
        if given.noise != "none":
            other = given.author("noise")
            raise CompositionError(
                "R31", (other, self), f"{other!r} and {self!r} are two noises", "Keep one"
            )
        return given.but(self, noise="local")

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        """State the noise on each row and charge it against the server."""
        del contract, public
        charge = gaussian_charge(self.noise_multiplier / 2, Vantage.SERVER, self.relation)
        return given.but(
            row_std=math.hypot(given.row_std, self.noise_multiplier * given.bound),
            peak=math.inf,
            charges=(*given.charges, charge),
        )

    def describe(self, plan: Plan, contract: Contract) -> str:
        """Say how much noise each client adds."""
        del contract
        std = self.noise_multiplier * plan.bound
        return f"each client adds noise of std {std:.3g} to every coordinate"

    def apply(self, x: Tensor, at: At) -> Tensor:
        """Add the noise."""
        return add_noise(x, self.noise_multiplier * at.plan.bound, at.generator)
