"""What robust rules share."""

from typing import ClassVar

from torch import Tensor

from privfl.core import Contract, Plan, require_count
from privfl.parts import Aggregator
from privfl.parts._ranked import ranked


class RobustRule(Aggregator):
    """Keep close to the honest mean while ``n_byzantine`` rows are anything at all.

    A rule F is (f, kappa)-robust if for every set S of n - f rows, with mean m,
    ``|F - m|^2 <= kappa * mean of |x_i - m|^2 over S`` (Allouah et al. 2023,
    https://arxiv.org/abs/2302.01772). No rule has a kappa below ``f / (n - 2f)``.

    A rule of your own is a frozen dataclass with a field ``n_byzantine``; the laws in
    `privfl.testing.check_aggregator` hold it to the ``kappa`` and ``sensitivity`` it states.

    Attributes:
        n_byzantine: how many rows may be anything. It counts rows: clients, or groups of them.
        equivariant: whether ``F(a * x + b) = a * F(x) + b``, where no choice is tied.

    >>> from privfl.defenses.robust import TrimmedMean
    >>> rule: RobustRule = TrimmedMean(n_byzantine=1)
    >>> rule.min_rows, rule.equivariant
    (3, True)
    """

    n_byzantine: int
    equivariant: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a number of attackers that is none."""
        require_count("n_byzantine", self.n_byzantine)

    def kappa(self, n: int) -> float | None:
        """Return the robustness coefficient for ``n`` rows, or None where none is proven."""
        del n
        return None

    def stretch(self, n: float) -> float | None:
        """Return how long the result can be, in units of the longest row; None: not known.

        A rule whose result is in the convex hull of its rows has 1.
        """
        del n
        return None

    def centre(self, block: Tensor) -> Tensor:
        """Return a point among the honest rows: (n, b) -> (b,).

        Of any 2f + 1 rows at least f + 1 are honest, so that the coordinate-wise median of these
        few lies between honest values; sorting all rows would take five times as long.
        """
        few = block[: 2 * self.n_byzantine + 1]
        return ranked(few)[:, self.n_byzantine]

    def describe(self, plan: Plan, contract: Contract) -> str:
        """Say how far from the honest mean the result can be; local noise counts (rule R10)."""
        kappa = self.kappa(plan.n_rows)
        if kappa is None:
            return super().describe(plan, contract)
        noise = plan.body * plan.row_std**2
        spread = f"(G^2 + {noise:.3g})" if noise else "G^2"
        return (
            f"at most sqrt({kappa:.3g} {spread}) from the honest mean, whatever {self.n_byzantine} "
            f"of {plan.n_rows} rows are; G^2 is the variance of the honest ones"
            + (", and local noise adds to it (R10)" if noise else "")
        )
