"""Which units take part in a step: one draw, with what it says to the accountant.

The object that draws is the one that says what the draw is worth, so the two cannot differ. It
serves records inside a client and clients of a federation alike. Clients can also be chosen by
group (`Stratified`), by what their `Device` offers (`WithResources`) or by their loss
(`PowerOfChoice`, which no privacy claim may rest on).

>>> from dp_accounting import GaussianDpEvent
>>> from privfl.crypto import Stream
>>> [len(rows) for rows in Shuffled(size=4).draws(10, 3, Stream())]
[4, 4, 2]
>>> Poisson(rate=0.1).accounted(GaussianDpEvent(1.0), n=50, steps=7, relation="zero-out")
(PoissonSampledDpEvent(sampling_probability=0.1, event=GaussianDpEvent(noise_multiplier=1.0)), 7)
"""

from privfl.sampling._amplified import amplified
from privfl.sampling._device import Device
from privfl.sampling._everybody import Everybody
from privfl.sampling._fixed_size import FixedSize
from privfl.sampling._poisson import Poisson
from privfl.sampling._power_of_choice import PowerOfChoice
from privfl.sampling._sampling import Sampling
from privfl.sampling._shuffled import Shuffled
from privfl.sampling._stratified import Stratified
from privfl.sampling._with_resources import WithResources

__all__ = [
    "Device",
    "Everybody",
    "FixedSize",
    "Poisson",
    "PowerOfChoice",
    "Sampling",
    "Shuffled",
    "Stratified",
    "WithResources",
    "amplified",
]
