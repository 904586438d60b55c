"""Numbers that travel with an update."""

import math
from dataclasses import dataclass

from privfl.core._check import require, require_positive


@dataclass(frozen=True)
class Scalar:
    """Declare a number that rides in the tail of the update vector (rules R7).

    It is clamped to ``[-bound, bound]`` and uses ``share`` of the clip norm ``C``: the joint bound
    on an update with its scalars is ``C * sqrt(1 + sum(share**2))``.

    >>> Scalar("loss", bound=10.0, share=0.1)
    Scalar(name='loss', bound=10.0, share=0.1)
    """

    name: str
    bound: float
    share: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a scalar without a name or a finite bound."""
        require(bool(self.name), "A scalar needs a name", repr(self.name))
        require_positive("bound", self.bound)
        require_positive("share", self.share)


def joint_factor(scalars: tuple[Scalar, ...]) -> float:
    """Return the joint bound of an update and its scalars, in units of the clip norm."""
    return math.sqrt(1 + sum(scalar.share**2 for scalar in scalars))
