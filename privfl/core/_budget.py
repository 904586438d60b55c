"""How much privacy may be spent."""

from dataclasses import dataclass

from privfl.core._check import require, require_positive
from privfl.core._unit import Unit
from privfl.core._vantage import Vantage


@dataclass(frozen=True)
class Budget:
    """Cap epsilon at a delta, for every guarantee that is charged or for the one that is asked.

    Args:
        epsilon: the most that may be spent in all.
        delta: at which it is stated; below one over the number of units.
        unit: ask for this unit; None asks for the unit of each charge.
        vantage: ask against this adversary; None asks against the one of each charge.

    >>> Budget(epsilon=8, delta=1e-5)
    Budget(epsilon=8, delta=1e-05, unit=None, vantage=None)
    """

    epsilon: float
    delta: float
    unit: Unit | None = None
    vantage: Vantage | None = None

    def __post_init__(self) -> None:
        """Refuse a budget that caps nothing."""
        require_positive("epsilon", self.epsilon)
        good = isinstance(self.delta, int | float) and 0 < self.delta < 1
        require(good, "delta must be strictly between 0 and 1", repr(self.delta))
        if self.unit is not None:
            object.__setattr__(self, "unit", Unit(self.unit))
        if self.vantage is not None:
            object.__setattr__(self, "vantage", Vantage.of(self.vantage))
