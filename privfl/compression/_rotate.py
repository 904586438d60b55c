"""A random rotation that everybody turns alike."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from privfl.compression._real_numbers import require_real
from privfl.compression._walsh_hadamard import padded, walsh_hadamard
from privfl.core import At, Contract, Plan, Rows, State
from privfl.parts import Wrapper


@dataclass(frozen=True)
class Rotate(Wrapper):
    """Spread each coordinate over its whole block, and turn the opened sum back: (d,) -> (D,).

    Public random signs, then an orthogonal Walsh-Hadamard transform in blocks of ``2**14``; the
    last block is padded to a power of two of its own, so that ``D`` stays near ``d`` (Suresh et
    al. 2017, https://arxiv.org/abs/1611.00429, section 3). Behind it no coordinate is larger than
    the others by its place in the model: `RandomK` then misses about the same share of the norm of
    any update. The grid of `Quantize` stays as wide as the clip norm allows, with or without it.

    Guarantees:
        - Turning back gives the update again, and both turns keep its norm, but for rounding:
          together they are off by 1e-6 of the norm in float32.
        - No update gets longer than the plan says.
        - A single coordinate becomes a block of equal size, up to sign.

    >>> from privfl import Pipeline
    >>> x = torch.tensor([[1.0, 2.0, 3.0]])
    >>> bool((Pipeline(Rotate()).aggregate(x).update - x).abs().max() < 1e-6)
    True
    """

    covers_scalars: ClassVar[bool] = False

    def check(self, given: Contract) -> Contract:
        """Stand in the client, before any rounding."""
        given = super().check(given)
        require_real(self, given)
        return given

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        """State the padded length; a vector of the clip norm may now be a single coordinate."""
        del contract, public
        body = padded(given.body)
        peak = max(given.peak, given.clip_norm)
        return given.but(body=body, dim=given.dim - given.body + body, peak=peak)

    def apply(self, x: Tensor, at: At) -> Tensor:
        """Flip signs, pad and transform, in float64."""
        wide = x.new_zeros(padded(len(x)), dtype=torch.float64)
        wide[: len(x)] = x * self._signs(at).to(x)
        # one unit in the last place less: rounding to the nearest can lift the norm above its bound
        return (walsh_hadamard(wide) * (1 - torch.finfo(x.dtype).eps)).to(x.dtype)

    def undo(self, rows: Rows, at: At) -> Rows:
        """Transform back and flip signs again, a row at a time: (g, D) -> (g, d)."""
        sums = rows.sums.new_empty(len(rows.sums), at.plan.body)
        signs = self._signs(at).to(sums.device, torch.float64)
        for made, row in zip(sums, rows.sums, strict=True):  # one float64 copy, not one of them all
            made.copy_(walsh_hadamard(row.double())[: at.plan.body] * signs)
        return rows.but(sums=sums)

    def _signs(self, at: At) -> Tensor:
        """Draw a sign for each coordinate: -> (d,) int8, 1 or -1."""
        drawn = at.shared("rotate").bytes(-(-at.plan.body // 8))
        bits = np.unpackbits(np.frombuffer(drawn, np.uint8), count=at.plan.body)
        return 1 - 2 * torch.from_numpy(bits).to(torch.int8)

    def describe(self, plan: Plan, contract: Contract) -> str:
        """Say how much longer the vector gets."""
        del contract
        return f"{plan.body:,} coordinates are rotated into {padded(plan.body):,}"
