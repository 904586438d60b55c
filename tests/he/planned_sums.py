"""Real encrypted sums in a planned ring, and updates that are hard on it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from oracles.ring_lwe import slots
from privfl.core import Cohort, Plan
from privfl.crypto import Stream
from privfl.defenses.he import BFV, CKKS, Parameters
from privfl.lattice import RunningSum, Secret

SEED = bytes(range(64))


@dataclass(frozen=True)
class Sums:
    """Encrypt updates (n, d) in a ring, add them up and open the sum."""

    found: Parameters
    updates: torch.Tensor
    clip: float = 1.0
    seed: int = 0

    @property
    def part(self):
        return (
            BFV() if self.found.scheme == "BFV" else CKKS(published=int(self.found.flood_std > 0))
        )

    @property
    def plan(self):
        n, dim = self.updates.shape
        return Plan.first(Cohort.of(n), dim).but(bound=self.clip)

    @cached_property
    def secret(self):
        return Secret(self.found.ring, SEED)

    @cached_property
    def words(self):
        total = RunningSum(self.found.ring)
        for row in self.updates:
            blocks = self.part.to_blocks(row, self.found, self.plan)
            total.add(*self.secret.encrypt(blocks))
        return total.words()

    @cached_property
    def opened(self):
        stream = Stream.replay(self.seed)
        return self.part.opened(self.secret, self.words, self.found, self.plan, stream)

    @property
    def off(self):
        """How far the mean is off in its worst coordinate."""
        gap = self.opened - self.updates.double().sum(dim=0)
        return float(gap.abs().max()) / len(self.updates)


def waves(k, degree, dim):
    """The vector of slots of x^k: nothing of its norm makes a larger coefficient."""
    row = np.zeros(degree)
    row[k] = 1.0
    flat = slots(row).view(np.float64)
    return torch.from_numpy(np.tile(flat, -(-dim // degree))[:dim])


def halves(degree, dim, scale):
    """An update whose coefficients all lie between two numbers, so that each is moved by half.

    Their signs are those of cosines, so that in the first slot all of them pull one way.
    """
    signs = np.where(np.cos(np.pi * np.arange(degree) / degree) > 0, 1.0, -1.0)
    flat = slots(0.499 * signs).view(np.float64) / scale
    return torch.from_numpy(np.tile(flat, -(-dim // degree))[:dim])


def hard(kind, n, dim, clip, found, seed):
    """Updates (n, dim) of norm ``clip``, of one kind."""
    draw = torch.Generator().manual_seed(seed)
    signs = 1.0 - 2.0 * (torch.arange(dim) % 2).double()
    if kind == "random":
        rows = torch.randn(n, dim, generator=draw).double()
    elif kind == "equal":
        rows = torch.randn(1, dim, generator=draw).double().repeat(n, 1)
    elif kind == "one coordinate":
        rows = torch.zeros(n, dim).double()
        rows[:, int(torch.randint(dim, (), generator=draw))] = (-1.0) ** seed
    elif kind == "alternating":
        rows = signs.repeat(n, 1)
    elif kind == "opposite clients":
        rows = signs * (1.0 - 2.0 * (torch.arange(n) % 2).double())[:, None]
    elif kind == "zero":
        return torch.zeros(n, dim).double()
    else:
        rows = waves(seed % found.degree, found.degree, dim).repeat(n, 1)
    return rows * (clip / rows.norm(dim=1, keepdim=True))


KINDS = [
    "random",
    "equal",
    "one coordinate",
    "alternating",
    "opposite clients",
    "zero",
    "one wave",
]
