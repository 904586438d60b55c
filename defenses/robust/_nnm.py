"""Rows made alike before a rule."""

from dataclasses import dataclass, field

from torch import Tensor

from privfl.core import Relation, require
from privfl.defenses.robust._distances import squared_distances
from privfl.defenses.robust._robust_rule import RobustRule
from privfl.parts import Aggregator


@dataclass(frozen=True)
class NNM(RobustRule):
    """Replace each row by the mean of its ``n - n_byzantine`` nearest, then apply ``rule``.

    Nearest-neighbour mixing (Allouah et al. 2023, https://arxiv.org/abs/2302.01772)
    makes honest rows alike, so that a rule errs less where clients differ. A row is among its own
    nearest. It needs n >= 2 n_byzantine + 1, and what ``rule`` needs. Of equal distances the first
    row in the order of bytes is nearer.

    Attributes:
        rule: a robust rule that works by ``columns`` or by ``mixture``.
        n_byzantine: None takes the rule's own.

    Guarantees:
        - It is (f, kappa')-robust where ``rule`` is (f, kappa)-robust, with ``kappa`` as below.
        - One client moves it by at most twice ``stretch`` times C, where that is known.

    >>> import torch
    >>> from privfl.defenses.robust import Krum
    >>> NNM(Krum(n_byzantine=1))
    NNM(rule=Krum(n_byzantine=1), n_byzantine=1)
    >>> NNM(Krum(n_byzantine=1))(torch.tensor([[0.0], [1.0], [2.0], [3.0], [90.0]]))
    tensor([1.5000])
    """

    rule: Aggregator
    n_byzantine: int = field(default=None, kw_only=True)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        """Take the rule's own number of attackers, and refuse a rule that cannot follow."""
        rule = self.rule
        require(isinstance(rule, Aggregator), "NNM takes a rule, NNM(TrimmedMean(…))", repr(rule))
        require(not rule.linear, "NNM takes a robust rule", f"{rule!r}: one row moves it anywhere")
        wanted = "NNM takes a rule that works by columns, or by a mixture from the Gram matrix"
        require(_by_hooks(rule), wanted, f"a __call__ or a statistic of its own in {rule!r}")
        own = getattr(rule, "n_byzantine", None)
        if self.n_byzantine is None:
            object.__setattr__(self, "n_byzantine", own)
        wanted = "NNM takes n_byzantine from its rule"
        fix = f"Write NNM({rule!r}, n_byzantine=…)"
        require(self.n_byzantine is not None, wanted, f"none in {rule!r}", fix)
        super().__post_init__()
        wanted = f"NNM stands no more attackers than its rule, {rule!r}"
        require(own is None or own >= self.n_byzantine, wanted, f"n_byzantine={self.n_byzantine}")

    @property
    def min_rows(self) -> int:
        """Most of a row's neighbours must be honest, 2f + 1, and the rule needs its own."""
        return max(2 * self.n_byzantine + 1, self.rule.min_rows)

    def mixture(self, statistic: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the neighbours' means, mixed again where ``rule`` mixes: (n, n) -> (k, n)."""
        del weights
        kept = len(statistic) - self.n_byzantine
        nearest = squared_distances(statistic).argsort(dim=1, stable=True)[:, :kept]
        means = statistic.new_zeros(statistic.shape).scatter_(1, nearest, 1 / kept)
        again = self.rule.mixture(means @ statistic @ means.T)
        return means if again is None else again @ means

    def columns(self, block: Tensor, weights: Tensor | None = None) -> Tensor:
        """Apply the rule to a block of mixed rows: (k, b) -> (b,)."""
        return self.rule.columns(block, weights)

    def kappa(self, n: int) -> float | None:
        """Return ``8f/(n-f) (kappa + 1)`` (Allouah et al. 2023); None where the rule has none."""
        self.require_rows(n)
        kappa = self.rule.kappa(n) if isinstance(self.rule, RobustRule) else None
        if kappa is None:
            return None
        return 8 * self.n_byzantine / (n - self.n_byzantine) * (kappa + 1)

    def stretch(self, n: float) -> float | None:
        """Return the rule's: a mixed row is no longer than the longest row."""
        return self.rule.stretch(n) if isinstance(self.rule, RobustRule) else None

    def sensitivity(self, clip_norm: float, n: float, relation: Relation) -> float | None:
        """Return ``2C stretch``: one client can change every mixed row, so only length binds (R2).

        Before a rule whose result is in the hull that is 2C under every relation. Before a
        coordinate-wise rule it depends on n, which add/remove makes private: None.
        """
        stretch = self.stretch(n)
        if stretch is None or (stretch > 1 and relation is Relation.ADD_REMOVE):
            return None
        return 2 * clip_norm * stretch


def _by_hooks(rule: Aggregator) -> bool:
    kind = type(rule)
    return kind.__call__ is Aggregator.__call__ and kind.statistic is Aggregator.statistic
