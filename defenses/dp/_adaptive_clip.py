"""The bound on what one client can move, where nobody knows a good one beforehand."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from privfl.core import (
    At,
    CompositionError,
    Contract,
    Plan,
    PlanError,
    Scalar,
    State,
    require,
    require_positive,
)
from privfl.defenses.dp._clip import Clip, bounded, length_of
from privfl.parts import Wrapper

UNCLIPPED = "unclipped"
_FARTHEST = 100.0  # in the exponent of one step: a lying bit has no bound, and exp overflows at 710


@dataclass(frozen=True)
class AdaptiveClip(Wrapper):
    """Clip to a norm that follows a quantile of the updates' own norms: (d,) -> (d,).

    Each client clips to the public norm C and reports whether its update was within, as the bit
    ``b - 1/2`` in the tail. From the mean of the bits as it was *released*, noise included, follows
    the next round's ``C * exp(-learning_rate * (mean(b) - target_quantile))``, between the public
    ``min_clip_norm`` and ``max_clip_norm`` (Andrew et al. 2021, https://arxiv.org/abs/1905.03871,
    algorithm 1). The cap is what stops lying clients: more of them than ``1 - target_quantile``
    raise C without end (rule R13).

    The bit uses ``share`` of C, and the noise that follows covers bit and update together: under
    zero-out, CentralGaussianNoise(z) leaves the update a noise multiplier of
    ``z * sqrt(1 + share**2)`` and the sum of bits a noise of std
    ``z * sqrt(1 + share**2) / (2 * share)``; see `share_for`.

    Under noise the mean divides by the public cohort, so that who is absent, or sent something not
    finite, counts as half a bit.

    Guarantees:
        - Within a round it clips as `Clip` does, to the norm that the plan states.
        - From any start the share of updates within C comes to ``target_quantile``.
        - C stays within its public bounds, whatever clients send.

    >>> import torch
    >>> from privfl import Pipeline
    >>> shield = Pipeline(AdaptiveClip(1.0))
    >>> first = shield.aggregate(torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 9.0]]))
    >>> round(first.scalars["unclipped"] + 0.5, 3)
    0.333
    >>> round(shield.plan(n_clients=3, dim=2, public=first.state["public"]).clip_norm, 4)
    1.0339
    """

    initial_clip_norm: float = 0.1
    target_quantile: float = 0.5
    learning_rate: float = 0.2
    max_clip_norm: float = 10.0
    min_clip_norm: float = 1e-6
    share: float = 0.1

    covers_scalars: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a norm outside its bounds, and a quantile that is none."""
        names = ("initial_clip_norm", "learning_rate", "max_clip_norm", "min_clip_norm", "share")
        for name in names:
            require_positive(name, getattr(self, name))
        fits = self.min_clip_norm <= self.initial_clip_norm <= self.max_clip_norm
        least, most = f"{self.min_clip_norm:g}", f"{self.max_clip_norm:g}"
        wanted = f"initial_clip_norm must lie between min_clip_norm = {least} and {most}"
        fix = "The public cap is max_clip_norm: raise it to start higher"
        require(fits, wanted, self.initial_clip_norm, fix)
        good = isinstance(self.target_quantile, float) and 0 < self.target_quantile < 1
        require(good, "target_quantile must lie between 0 and 1", self.target_quantile)

    @property
    def measured(self) -> tuple[Scalar, ...]:
        """The bit, as a distance from one half."""
        return (Scalar(UNCLIPPED, bound=0.5, share=self.share),)

    def check(self, given: Contract) -> Contract:
        """Stand in the client, before any noise; what is known at once is the cap."""
        if given.where == "rows":
            raise CompositionError(
                "R13",
                (given.author("where"), self),
                f"{self!r} is told by each client's bit, and stands where the server runs",
                f"Put it before the protocol, and Clip({self.max_clip_norm!r}) behind it",
            )
        return bounded(self, self.max_clip_norm, given)

    def initial(self, plan: Plan) -> State:
        """Return the norm of the first round."""
        del plan
        return float(self.initial_clip_norm)

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        """State this round's bounds; the public norm comes from the opener's letter."""
        return Clip(self._norm(public)).plan(given, contract, None)

    def _norm(self, public: State) -> float:
        if isinstance(public, float) and self.min_clip_norm <= public <= self.max_clip_norm:
            return public
        bounds = f"{self.min_clip_norm:g} and {self.max_clip_norm:g}"
        reason = f"The clip norm of a round lies between {bounds}. Found {public!r}"
        raise PlanError("R13", (self,), reason, "Hand on the state of the last release")

    def describe(self, plan: Plan, contract: Contract) -> str:
        """Say what it bounds, and how it moves."""
        del plan, contract
        return (
            "each update has norm at most C, as the client promises, and a bit beside it says "
            f"whether it was within; C starts at {self.initial_clip_norm:g} and goes to where "
            f"{self.target_quantile:.0%} are, at most to {self.max_clip_norm:g}"
        )

    def apply(self, x: Tensor, at: At) -> Tensor:
        """Measure the update as it comes, and clip it with all scalars."""
        norm = self._norm(at.public)
        names = [scalar.name for scalar in at.contract.scalars]
        k = names.index(UNCLIPPED)
        unclipped = length_of(x[: at.plan.body]) <= norm
        x = x.clone()
        x[at.plan.scalars_at.start + k] = at.plan.unit[k] * (1 if unclipped else -1)
        return Clip(norm).apply(x, at)

    def learn(self, scalars: Mapping[str, float], at: At) -> State:
        """Step towards the quantile, by the mean bit as it was released."""
        below = scalars[UNCLIPPED] + 0.5
        step = -self.learning_rate * (below - self.target_quantile)
        norm = self._norm(at.public) * math.exp(min(max(step, -_FARTHEST), _FARTHEST))
        return float(min(max(norm, self.min_clip_norm), self.max_clip_norm))


def share_for(noise_multiplier: float, bit_std: float) -> float:
    """Return the ``share`` that gives the sum of bits a noise of ``bit_std``, under zero-out.

    With a joint ``noise_multiplier`` z and ``sigma_b = bit_std`` it is
    ``1 / sqrt((2 sigma_b / z)^2 - 1)``, and the update is left the multiplier
    ``(z^-2 - (2 sigma_b)^-2)^(-1/2)`` (Andrew et al. 2021, https://arxiv.org/abs/1905.03871,
    theorem 1, who take ``sigma_b`` as a twentieth of the cohort). Under replace-one both noises
    are twice as large: pass half the ``bit_std``.

    >>> share = share_for(noise_multiplier=1.0, bit_std=100 / 20)
    >>> round(1.0 * math.sqrt(1 + share**2), 6)
    1.005038
    """
    require_positive("noise_multiplier", noise_multiplier)
    require_positive("bit_std", bit_std)
    wanted = f"noise_multiplier must be below 2 * bit_std = {2 * bit_std:g}"
    fix = "The bits alone would spend more than there is: take a larger bit_std"
    require(noise_multiplier < 2 * bit_std, wanted, noise_multiplier, fix)
    return 1 / math.sqrt((2 * bit_std / noise_multiplier) ** 2 - 1)
