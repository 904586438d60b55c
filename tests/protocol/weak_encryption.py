"""Encrypted sums that hand results out with too little noise, so that the key shows."""

from dataclasses import dataclass, replace

from privfl.crypto import Stream
from privfl.defenses.he import CKKS


@dataclass(frozen=True, repr=False)
class Bare(CKKS):
    """Hands results out in the ring, and with the noise, of results that are kept: none."""

    def parameters(self, plan):
        return CKKS(bits=self.bits).parameters(plan)


@dataclass(frozen=True, repr=False)
class Flooded(CKKS):
    """The planned ring, with noise of another deviation a coefficient."""

    deviation: float = 0.0

    def parameters(self, plan):
        return replace(super().parameters(plan), flood_std=self.deviation)


@dataclass(frozen=True, repr=False)
class FreshNoise(Flooded):
    """Noise that is drawn whenever a result is asked for."""

    def opened(self, secret, words, parameters, plan, flood):
        del flood
        return super().opened(secret, words, parameters, plan, Stream())
