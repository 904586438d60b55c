"""What both Gaussian noises share."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from privfl.core import Charge, Relation, Unit, Vantage, require_positive
from privfl.crypto import Stream
from privfl.parts import Wrapper


@dataclass(frozen=True, repr=False)
class GaussianNoise(Wrapper):
    """Hold the parameters of a Gaussian noise; where it is added is said by the subclass."""

    noise_multiplier: float
    relation: Relation = Relation.ZERO_OUT

    covers_scalars: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse noise that is none."""
        require_positive("noise_multiplier", self.noise_multiplier)
        object.__setattr__(self, "relation", Relation.of(self.relation))

    def __repr__(self) -> str:
        """Write it as it is usually written: without the default relation."""
        other = self.relation is not Relation.ZERO_OUT
        relation = f", relation={self.relation.value!r}" if other else ""
        return f"{type(self).__name__}({self.noise_multiplier!r}{relation})"


def add_noise(x: Tensor, std: float | Tensor, generator: Stream) -> Tensor:
    """Add Gaussian noise of standard deviation ``std`` to ``x`` (d,), drawn in float64."""
    noise = generator.normal(x.shape)
    scale = std.to(noise) if isinstance(std, Tensor) else std
    return x + (noise * scale).to(x)


def gaussian_charge(noise_multiplier: float, vantage: Vantage, relation: Relation) -> Charge:
    """Charge a Gaussian whose neighbours lie 1 apart in units of ``1 / noise_multiplier`` std.

    An event counts its noise over what one unit contributes, and accountants double the distance
    under replace-one themselves (rule R18); the noise here is scaled for that distance already.
    """
    from dp_accounting import GaussianDpEvent  # here: importing it takes most of a second

    event = GaussianDpEvent(noise_multiplier * relation.change(1.0))
    return Charge(event, Unit.CLIENT, vantage, relation)
