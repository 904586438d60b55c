"""Holding a wrapper to its kind."""

from collections.abc import Iterator

import torch
from torch import Tensor

from privfl.core import require
from privfl.parts import Wrapper
from privfl.testing._card import Card, examine
from privfl.testing._standing import Standing
from privfl.testing._wrapper_laws import WRAPPER_LAWS


def check_wrapper(part: Wrapper, *, seed: int = 0) -> Card:
    """Check a wrapper of your own against every law of a wrapper, where it can stand.

    It is put first in line, else behind a clip of norm 1, else behind a clip and a mean.

    Raises:
        ValueError: where ``covers_scalars`` is not declared, where it fits in none of these places,
            or where it stands for several stages: check each of them.

    >>> from privfl.defenses.dp import Clip
    >>> print(check_wrapper(Clip(1.0)))
    Clip(clip_norm=1.0)
      passed      it is a frozen dataclass
      passed      the input is not changed
      passed      equal facts and randomness give equal bits
      passed      the length is as its plan says
      passed      dtype and device are kept
      passed      a zero update is legal
      passed      an update with NaN or Inf does not raise
      passed      norm and peak are within its plan
      not claimed undoing a sum is the sum of what is undone
      passed      what it remembers is a value
    """
    declared = isinstance(getattr(type(part), "covers_scalars", None), bool)
    wanted = f"{type(part).__name__} must say whether it covers the scalars in the tail"
    require(declared, wanted, "nothing", "Write covers_scalars: ClassVar[bool] = …")
    return examine(part, WRAPPER_LAWS, [Standing.of(part, x, seed) for x in _bodies(seed)])


def _bodies(seed: int) -> Iterator[Tensor]:
    """Make updates, the smallest first: none, a far one, short and long ones."""
    yield from (torch.zeros(1).double(), torch.ones(1).double(), torch.full((3,), 1e15).double())
    generator = torch.Generator().manual_seed(seed)
    for d in (2, 7, 64):
        for scale in (1e-3, 9):
            yield torch.randn(d, generator=generator).double() * scale
