"""What is known of an epsilon."""

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context

from privfl.core import require

MEANINGLESS = 100.0  # exp(100) to one: whoever sees the release knows, whatever the formula says


@dataclass(frozen=True)
class Interval:
    """Hold an upper bound on epsilon, perhaps a lower one, and how they were found.

    ``lower`` bounds the slack of the accountant, not the leakage of what was released.

    Attributes:
        lower: a lower end, or ``None`` where none was asked for.
        upper: a valid bound, possibly infinite.
        method: ``"closed form"``, ``"RDP"``, ``"PLD"``, ``"steps"`` (of a group) or
            ``"non-private"``.

    Guarantees:
        - The printed upper end is rounded up, the lower end down.
        - Above 100 no figure is printed.

    >>> print(Interval(None, 3.2012, "PLD"))
    at most 3.21 (PLD)
    >>> print(Interval(None, 812.0, "RDP"))
    no meaningful guarantee (above 100)
    """

    lower: float | None
    upper: float
    method: str

    def __post_init__(self) -> None:
        """Raise a ValueError unless ``0 <= lower <= upper``."""
        lower = 0.0 if self.lower is None else self.lower
        found = f"lower={self.lower}, upper={self.upper}"
        require(0 <= lower <= self.upper, "an interval needs 0 <= lower <= upper", found)

    @property
    def figure(self) -> float | None:
        """The upper end for a machine; None where it means nothing."""
        return self.upper if self.upper <= MEANINGLESS else None

    def __str__(self) -> str:
        """Say the bound in three digits."""
        if self.upper > MEANINGLESS:
            return f"no meaningful guarantee (above {MEANINGLESS:g})"
        upper = _three_digits(self.upper, ROUND_CEILING)
        if self.lower is None:
            return f"at most {upper} ({self.method})"
        return f"between {_three_digits(self.lower, ROUND_FLOOR)} and {upper} ({self.method})"


def _three_digits(value: float, rounding: str) -> str:
    exact = math.inf if math.isinf(value) else Context(prec=40).create_decimal(value)
    return f"{float(Context(prec=3, rounding=rounding).create_decimal(exact)):.3g}"
