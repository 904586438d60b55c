"""Rules that keep close to the honest mean while a few updates are anything at all.

Each is a part for a pipeline, and a function of its own: (n, d) -> (d,). How close it keeps is its
`RobustRule.kappa`, and how many rows that takes its ``min_rows``.

>>> import torch
>>> from privfl.defenses.robust import NNM, Krum, Mean, TrimmedMean
>>> updates = torch.tensor([[1.0], [2.0], [3.0], [4.0], [900.0]])
>>> Mean()(updates), TrimmedMean(n_byzantine=1)(updates), Krum(n_byzantine=1)(updates)
(tensor([182.]), tensor([3.]), tensor([2.]))
>>> NNM(TrimmedMean(n_byzantine=1))(updates)
tensor([2.5000])
>>> Krum(n_byzantine=2)(updates)
Traceback (most recent call last):
...
privfl.core._errors.PlanError: [R17] Krum(n_byzantine=2) needs at least 7 rows. Found 5.
  Use at least 7 clients (or groups), or a smaller n_byzantine.
"""

from privfl.defenses.robust._krum import Krum
from privfl.defenses.robust._nnm import NNM
from privfl.defenses.robust._robust_rule import RobustRule
from privfl.defenses.robust._trimmed_mean import TrimmedMean
from privfl.parts import Mean

__all__ = ["NNM", "Krum", "Mean", "RobustRule", "TrimmedMean"]
