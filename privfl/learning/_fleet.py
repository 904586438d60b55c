"""The clients' machines, in simulated time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from privfl.core import Party, require, require_positive
from privfl.crypto import Stream
from privfl.sampling import Device


@dataclass(frozen=True)
class Fleet:
    """Say how fast and how reliable each client's machine is; nobody sleeps, a clock is moved.

    Args:
        devices: one a client, by name or by place; a client without one has the default `Device`.
        deadline: simulated seconds after which a round waits for nobody; None: it waits.

    Guarantees:
        - Devices and chances are public: nothing here depends on what is in the data but the
          number of steps, which is public where `LocalSGD` is told ``steps``.

    >>> fleet = Fleet([Device(speed=2.0, delay=1.0)])
    >>> fleet.seconds(0, steps=10)
    6.0
    """

    devices: Mapping[Party, Device] | Sequence[Device] = ()
    deadline: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no device, and a deadline that nobody meets."""
        found = self.devices.values() if isinstance(self.devices, Mapping) else self.devices
        good = all(isinstance(device, Device) for device in found)
        require(good, "devices must hold privfl.sampling.Device objects", repr(self.devices))
        if self.deadline is not None:
            require_positive("deadline", self.deadline)

    def device(self, client: Party) -> Device:
        """Return a client's machine."""
        if isinstance(self.devices, Mapping):
            return self.devices.get(client, Device())
        known = isinstance(client, int) and client < len(self.devices)
        return self.devices[client] if known else Device()  # type: ignore[index]

    def seconds(self, client: Party, steps: float) -> float:
        """Return how long ``steps`` steps and a message there and back take."""
        device = self.device(client)
        return device.delay + steps / device.speed

    def share(self, client: Party, steps: int, generator: Stream) -> float:
        """Draw what part of its work a client gets done in a round: from 0 (gone) to 1 (all).

        Less than a step is nothing.
        """
        device = self.device(client)
        gone, straggles, part = generator.uniform((3,)).tolist()
        share = part if straggles <= device.straggles else 1.0
        if self.deadline is not None:
            possible = (self.deadline - device.delay) * device.speed
            share = min(share, max(possible, 0.0) / steps)
        return 0.0 if gone <= device.dropout or share * steps < 1 else share
