"""What a client says about its machine."""

import math
from dataclasses import dataclass

from privfl.core import require


@dataclass(frozen=True)
class Device:
    """Describe one client's machine, as it is publicly declared.

    All of it is known to everybody before a round and comes from no example, so choosing by it
    tells nothing about anybody's data. A figure that follows from the data, such as the time that
    training takes on all of it, is no such declaration.

    Attributes:
        speed: local steps in a simulated second.
        delay: seconds for an empty message there and back.
        bandwidth: bytes a second.
        battery: charge left, from 0 to 1.
        memory: bytes.
        dropout: chance of being gone in a round.
        straggles: chance of getting only a uniform share of its work done in a round.

    >>> Device(speed=4.0, battery=0.5).battery
    0.5
    """

    speed: float = 1.0
    delay: float = 0.0
    bandwidth: float = math.inf
    battery: float = 1.0
    memory: float = math.inf
    dropout: float = 0.0
    straggles: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no machine is."""
        for name in ("speed", "bandwidth", "memory"):
            value = getattr(self, name)
            require(_is_number(value) and value > 0, f"{name} must be above 0", repr(value))
        waits = _is_number(self.delay) and 0 <= self.delay < math.inf
        require(waits, "delay must be finite and at least 0", repr(self.delay))
        for name in ("battery", "dropout", "straggles"):
            value = getattr(self, name)
            require(_is_number(value) and 0 <= value <= 1, f"{name} must be from 0 to 1", value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
