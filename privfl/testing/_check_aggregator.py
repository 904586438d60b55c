"""Holding an aggregator to its kind."""

import torch
from torch import Tensor

from privfl.parts import Aggregator
from privfl.testing._aggregator_laws import AGGREGATOR_LAWS
from privfl.testing._card import Card, examine


def check_aggregator(rule: Aggregator, *, seed: int = 0) -> Card:
    """Check a rule of your own against every law of an aggregator, on small awkward inputs.

    A `RobustRule` is held to its ``kappa`` as well, and every rule to the ``sensitivity`` that it
    states. Laws that a rule does not claim are listed as such.

    >>> from privfl.defenses.robust import TrimmedMean
    >>> print(check_aggregator(TrimmedMean(n_byzantine=1)))
    TrimmedMean(n_byzantine=1)
      passed      it is a frozen dataclass
      passed      permuting the rows changes no bit
      passed      dtype, device and shape are kept, half precision too
      passed      the input is not changed
      passed      equal rows give that row
      passed      moving and scaling the rows moves and scales the result
      passed      rows with NaN or Inf raise a ValueError
      passed      too few rows raise a ValueError
      passed      weights count copies, or raise a ValueError
      passed      n_byzantine far rows move it no further than kappa says
      passed      one client moves it no further than its sensitivity
    """
    return examine(rule, AGGREGATOR_LAWS, _inputs(rule.min_rows, seed))


def _inputs(min_rows: int, seed: int) -> list[Tensor]:
    """Make updates, the smallest first: ties, spread rows, a common offset, one far row."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for n in (min_rows, min_rows + 1, min_rows + 4):
        for d in (1, 3):
            spread = torch.randn(n, d, generator=generator)
            far = spread.clone()
            far[0] = 1e15
            made += [spread.round(), spread, spread + 1e4, spread.double() * 1e-6, far]
        # rows that start alike, as where the first layers are frozen
        made.append(torch.cat([torch.zeros(n, 70), made[-2].float()], dim=1))
    return made
