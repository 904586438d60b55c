"""Example counts as weights, without telling them to anybody."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from privfl.core import (
    At,
    CompositionError,
    Contract,
    Plan,
    Rows,
    Scalar,
    State,
    require_positive,
)
from privfl.parts._wrapper import Wrapper

COUNT = "n_examples"


@dataclass(frozen=True)
class Weigh(Wrapper):
    """Weigh each update by its client's example count, capped at ``max_examples``.

    The count is a scalar in the tail of the vector, so it is masked or encrypted as the update is.
    The update is sent times ``count / max_examples``, which is at most 1, and the opened sum is
    divided by the realised sum of counts, or by the public ``total``. Under noise the realised sum
    is a second release that nobody noised for the ratio, and is refused (rule R2).

    >>> Weigh(max_examples=600).scalars
    (Scalar(name='n_examples', bound=600, share=1.0),)
    """

    max_examples: float
    total: float | None = None
    share: float = 1.0

    covers_scalars: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse bounds that are not positive."""
        require_positive("max_examples", self.max_examples)
        require_positive("share", self.share)
        if self.total is not None:
            require_positive("total", self.total)

    @property
    def scalars(self) -> tuple[Scalar, ...]:  # type: ignore[override]
        """The example count that the client supplies."""
        return (Scalar(COUNT, self.max_examples, self.share),)

    def check(self, given: Contract) -> Contract:
        """Stand before any noise, once."""
        if given.weighting != "uniform":
            other = given.author("weighting")
            raise CompositionError(
                "R33", (other, self), f"{other!r} weighs already", "Keep one Weigh"
            )
        if given.noise != "none":
            raise CompositionError(
                "R4",
                (given.author("noise"), self),
                f"{self!r} would scale the noise of {given.author('noise')!r} away",
                "Put Weigh before the noise",
            )
        given = super().check(given)
        return given.but(self, weighting="examples" if self.total is None else "public_total")

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        """Replace the cohort's total weight by the public total, where there is one."""
        del contract, public
        if self.total is None:
            return given
        return given.but(total_weight=self.total / self.max_examples)

    def apply(self, x: Tensor, at: At) -> Tensor:
        """Scale the body by the capped count; running statistics stay a plain mean."""
        x = x.clone()
        x[: at.plan.body] *= self._share_of_cap(x[None], at)[0]
        return x

    def undo(self, rows: Rows, at: At) -> Rows:
        """Let the realised counts be the rows' weights, unless the total is public."""
        if self.total is not None:
            return rows
        return rows.but(weight=self._share_of_cap(rows.sums, at)[:, None].double())

    def _share_of_cap(self, x: Tensor, at: At) -> Tensor:
        names = [scalar.name for scalar in at.contract.scalars]
        k = names.index(COUNT)
        return (x[:, at.plan.scalars_at][:, k] / at.plan.unit[k]).clamp(min=0)
