"""Only those whose machine is fit for the round."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field

import torch
from torch import Tensor

from privfl.core import Relation, require
from privfl.crypto import Stream
from privfl.sampling._device import Device
from privfl.sampling._everybody import Everybody
from privfl.sampling._sampling import Sampling


@dataclass(frozen=True)
class WithResources(Sampling):
    """Draw by ``then`` among the units whose declared device is fit for the round.

    A simple form of choosing by resources (Nishio and Yonetani 2019,
    https://arxiv.org/abs/1804.08333), with public thresholds in place of a schedule. Who is not
    fit never takes part, so a model learns nothing of what only slow machines hold.

    Amplified as ``then`` among those who are fit. Devices are public and fixed, so replacing or
    zeroing one unit's data changes neither who is fit nor how many are: for one of them the draw is
    that of ``then`` out of so many units, and of any other nothing is ever released. Where a
    device was declared after a look at the data, this does not hold.

    Args:
        devices: what each unit declared.
        then: how to draw among those who are fit; everybody by default.
        speed: the fewest local steps a second.
        bandwidth: the fewest bytes a second.
        battery: the least charge, from 0 to 1.
        memory: the fewest bytes.

    Guarantees:
        - Only fit units are drawn.
        - What is drawn among them, and its account, are those of ``then`` for so many units.

    >>> devices = [Device(speed=4.0), Device(speed=1.0), Device(speed=2.0, battery=0.1)]
    >>> WithResources(devices, speed=2.0).fit
    (0, 2)
    """

    devices: tuple[Device, ...]
    then: Sampling = field(default_factory=Everybody)
    _: KW_ONLY
    speed: float = 0.0
    bandwidth: float = 0.0
    battery: float = 0.0
    memory: float = 0.0

    def __post_init__(self) -> None:
        """Refuse thresholds that nobody meets, and a choice by loss behind them."""
        object.__setattr__(self, "devices", tuple(self.devices))
        require(not self.then.by_loss, "then must not choose by loss", repr(self.then))
        least = f"speed={self.speed}, bandwidth={self.bandwidth}"
        least = f"{least}, battery={self.battery}, memory={self.memory}"
        wanted = f"At least one device must offer {least}"
        require(bool(self.fit), wanted, f"none of {len(self.devices)}", "Lower a threshold")

    @property
    def fit(self) -> tuple[int, ...]:
        """Who meets every threshold, in rising order."""
        return tuple(k for k, device in enumerate(self.devices) if self._meets(device))

    @property
    def size_varies(self) -> bool:  # type: ignore[override]
        """As of ``then``."""
        return self.then.size_varies

    @property
    def independent(self) -> bool:  # type: ignore[override]
        """As of ``then``."""
        return self.then.independent

    def draws(self, n: int, steps: int, generator: Stream) -> Iterator[Tensor]:
        """Draw among those who are fit, each step."""
        self._require_all(n)
        fit = torch.tensor(self.fit)
        for rows in self.then.draws(len(fit), steps, generator):
            yield fit[rows]

    def expected(self, n: int) -> float:
        """Return what ``then`` expects of those who are fit."""
        del n
        return self.then.expected(len(self.fit))

    def steps_of(self, n: int) -> int:
        """Return how many steps go once over those who are fit."""
        del n
        return self.then.steps_of(len(self.fit))

    def accounted(
        self, event: object, n: int, steps: int, relation: Relation | str
    ) -> tuple[object, int]:
        """Return what ``then`` says about as many units as are fit."""
        self._require_all(n)
        private = Relation.of(relation) is Relation.ADD_REMOVE
        fix = "Use relation='zero-out' or 'replace-one'"
        require(not private, "Declared devices make the number of units public", "add/remove", fix)
        return self.then.accounted(event, len(self.fit), steps, relation)

    def amplifies(self, relation: Relation | str) -> bool:
        """As of ``then``."""
        return self.then.amplifies(relation)

    def _meets(self, device: Device) -> bool:
        return all(
            getattr(device, name) >= getattr(self, name)
            for name in ("speed", "bandwidth", "battery", "memory")
        )

    def _require_all(self, n: int) -> None:
        wanted = f"devices must be one for each of {n} units"
        require(n == len(self.devices), wanted, len(self.devices))
