import math
from dataclasses import FrozenInstanceError

import pytest

from privfl.sampling import Device

BAD = [
    *(("speed", value) for value in (0, -1.0, math.nan, "fast", True)),
    *(("bandwidth", value) for value in (0, -1.0, math.nan)),
    *(("memory", value) for value in (0, -1.0, math.nan)),
    *(("delay", value) for value in (-0.1, math.inf, math.nan)),
    *(("battery", value) for value in (-0.1, 1.1, math.nan, "full", True)),
    *(("dropout", value) for value in (-0.1, 1.1, math.nan)),
    *(("straggles", value) for value in (-0.1, 1.1, math.nan)),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_device_that_cannot_be_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        Device(**{name: value})


def test_a_device_that_declares_nothing_waits_for_nothing():
    device = Device()
    assert (device.speed, device.delay, device.bandwidth) == (1.0, 0.0, math.inf)
    assert (device.battery, device.memory) == (1.0, math.inf)
    assert (device.dropout, device.straggles) == (0.0, 0.0)


def test_the_ends_are_allowed():
    Device(speed=1e-9, delay=0, battery=0, dropout=1, straggles=1)
    Device(speed=math.inf, battery=1, dropout=0, straggles=0)


def test_a_declaration_is_not_changed():
    with pytest.raises(FrozenInstanceError):
        Device().battery = 0.5  # type: ignore[misc]
