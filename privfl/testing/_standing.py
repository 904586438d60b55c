"""A wrapper where it stands in a pipeline."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from privfl.core import At, CompositionError, Plan, Rows, Scalar, require
from privfl.crypto import Stream
from privfl.defenses.dp import Clip
from privfl.parts import Mean, Part, Wrapper
from privfl.rounds import Line, Opening, Setting
from privfl.rounds._apply import apply_part

_TAIL = (Scalar("loss", bound=10.0, share=0.1),)  # so that there is a tail to leave alone
_N_CLIENTS = 4


@dataclass(frozen=True)
class Standing:
    """Hold the place of a wrapper in a round, and a vector that arrives there.

    Attributes:
        setting, place: the round's public facts and the wrapper's place in line.
        x: what is sent on the way there: body and declared scalars, (dim,) float64.
        seed: of the randomness that the wrapper gets.
    """

    setting: Setting
    place: int
    x: Tensor
    seed: int

    @classmethod
    def of(cls, part: Wrapper, body: Tensor, seed: int) -> "Standing":
        """Let ``body`` (d,), with scalars behind it, arrive where ``part`` can stand.

        Raises:
            CompositionError: where it stands in none of the usual places.
            ValueError: where it stands for several stages.
        """
        line = _line(part)
        stages = [stage for stage in line.lowered if isinstance(stage, Wrapper)]
        require(part in stages, f"{part!r} must be one stage", stages, "Check each stage")
        opening = Opening.fresh(line, _N_CLIENTS, len(body), scalars=_TAIL, nonce=bytes(16))
        setting = Setting(line, opening)
        place = line.lowered.index(part)
        unit = setting.plans[place].unit
        tail = body.new_tensor([(-0.5) ** k * u for k, u in enumerate(unit)])
        return cls(setting, place, torch.cat([body, tail]), seed)

    def but(self, x: Tensor) -> "Standing":
        """Let another vector arrive."""
        return replace(self, x=x)

    def at(self) -> At:
        """Return what the wrapper may know: equal at each call, its randomness too."""
        return self.setting.at(self.place, Stream.replay(self.seed))

    @property
    def behind(self) -> Plan:
        """The plan behind the wrapper."""
        return self.setting.plans[self.place + 1]

    def apply(self, part: Wrapper) -> Tensor:
        """Apply the wrapper as the round does: without the tail, unless it covers that."""
        x = self.arrived()
        if part.covers_scalars:
            return part.apply(x, self.at())
        body = self.setting.plans[self.place].body
        return torch.cat([part.apply(x[:body], self.at()), x[body:]])

    def arrived(self) -> Tensor:
        """Return what the parts in front make of ``x``: their bounds hold of it."""
        x, line = self.x, self.setting.line
        for k, part in enumerate(line.client_half[: self.place]):
            x = apply_part(part, x, self.setting.at(k, Stream.replay(self.seed)))
        return x

    def undo(self, part: Wrapper, made: Tensor) -> Rows:
        """Undo one opened sum (d',), as the opener does."""
        at = self.at()
        at = replace(at, plan=at.plan.but(unit=self.behind.unit))
        tail = 0 if part.covers_scalars else at.plan.dim - at.plan.body
        return part.undo(Rows(made[None, : len(made) - tail], ((0, 1),)), at)


def _line(part: Wrapper) -> Line:
    """Find a place: first in the client, behind a clip, or behind the aggregator."""
    places: tuple[tuple[Part, ...], ...] = ((part,), (Clip(1.0), part), (Clip(1.0), Mean(), part))
    refused: list[CompositionError] = []
    for parts in places:
        try:
            return Line(*parts)
        except CompositionError as error:
            refused.append(error)
    raise refused[-1]
