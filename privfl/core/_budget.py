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


def require_small_delta(delta: float, n_units: int, what: str = "units") -> None:
    """Refuse a delta at which publishing somebody's data in the clear would be private.

    >>> require_small_delta(0.1, 10, "clients")
    Traceback (most recent call last):
    ...
    ValueError: delta must be below 1/10 for 10 clients. Found 0.1. At or above it, publishing one \
of them at random in the clear would count as private.
    """
    wanted = f"delta must be below 1/{n_units} for {n_units} {what}"
    why = "At or above it, publishing one of them at random in the clear would count as private"
    require(not n_units or delta * n_units < 1, wanted, f"{delta:g}", why)
