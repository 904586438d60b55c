"""Rows made alike before a rule."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from privfl.core import Relation, require
from privfl.defenses.robust._distances import squared_distances
from privfl.defenses.robust._robust_rule import RobustRule
from privfl.parts import Aggregator


@dataclass(frozen=True)
class NNM(RobustRule):
    """Replace each row by the mean of its ``n - n_byzantine`` nearest, itself included, then apply
    ``rule``.

    Nearest-neighbour mixing (Allouah et al. 2023, https://arxiv.org/abs/2302.01772, algorithm 2)
    makes honest rows alike, so that a rule in front of heterogeneous clients errs less. It needs
    n >= 2 n_byzantine + 1 and what ``rule`` needs. Of equal distances the first row in the order of
    bytes is nearer.

    Attributes:
        rule: any rule that works by ``columns`` or ``mixture``.
        n_byzantine: None takes the rule's own.

    Guarantees:
        - It is (f, kappa')-robust where ``rule`` is (f, kappa)-robust, with ``kappa`` as below.
        - One client moves it by at most twice ``stretch`` times C, where that is known.

    >>> NNM(Krum(n_byzantine=1))
    NNM(rule=Krum(n_byzantine=1), n_byzantine=1)
    >>> NNM(Krum(n_byzantine=1))(torch.tensor([[0.0], [0.1], [0.2], [0.3], [9.0]]))
    tensor([0.1500])
    """

    rule: Aggregator
    n_byzantine: int = field(default=None, kw_only=True)  # type: ignore[assignment]
