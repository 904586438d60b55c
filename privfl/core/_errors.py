"""The ways a composition, a round or a budget says no."""

from collections.abc import Sequence


class CompositionError(ValueError):
    """Parts of a pipeline contradict each other.

    Attributes:
        rule: the number of the soundness rule that refuses, such as ``"R8"``.
        parts: the two sides of the contradiction, as data (one where a part stands alone).
        fix: what to write instead.

    >>> raise CompositionError("R8", ("Krum", "SecAgg"), "Krum needs rows", "Use Mean()")
    Traceback (most recent call last):
    ...
    privfl.core._errors.CompositionError: [R8] Krum needs rows.
      Use Mean().
    """

    def __init__(self, rule: str, parts: Sequence[object], reason: str, fix: str) -> None:
        """Store the rule, the parts and the fix, and say them."""
        self.rule, self.parts, self.reason, self.fix = rule, tuple(parts), reason, fix
        super().__init__(f"[{rule}] {reason}.\n  {fix}.")

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Rebuild from the four values, so that it crosses a process."""
        return type(self), (self.rule, self.parts, self.reason, self.fix)


class PlanError(CompositionError):
    """A sound pipeline meets a number of clients or a size it cannot serve.

    >>> issubclass(PlanError, CompositionError) and issubclass(PlanError, ValueError)
    True
    """


class ProtocolAbort(RuntimeError):
    """A round ended without a release. The text holds public values only.

    >>> raise ProtocolAbort("2 of 10 clients answered, 7 are needed")
    Traceback (most recent call last):
    ...
    privfl.core._errors.ProtocolAbort: 2 of 10 clients answered, 7 are needed
    """


class BudgetExceeded(RuntimeError):
    """A release was not made, because it would have passed a budget.

    Attributes:
        epsilon: what it would have come to.
        limit: what was allowed.
        delta: at which both are stated.
        dataset: whose budget it is.

    >>> raise BudgetExceeded(epsilon=8.31, limit=8.0, delta=1e-5, dataset="clinic-3")
    Traceback (most recent call last):
    ...
    privfl.core._errors.BudgetExceeded: clinic-3: epsilon would be 8.31 at delta 1e-05, above the \
budget of 8.
    """

    def __init__(self, epsilon: float, limit: float, delta: float, dataset: str) -> None:
        """Store the four values, and say them."""
        self.epsilon, self.limit, self.delta, self.dataset = epsilon, limit, delta, dataset
        super().__init__(
            f"{dataset}: epsilon would be {epsilon:.4g} at delta {delta:g}, above the budget of "
            f"{limit:g}."
        )

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Rebuild from the four values, so that it crosses a process."""
        return type(self), (self.epsilon, self.limit, self.delta, self.dataset)
