"""Whether a release still fits into a budget."""

from collections.abc import Callable, Iterable

from privfl.core import Budget, BudgetExceeded, Charge, Party
from privfl.ledger._claim import Claim
from privfl.ledger._reckoning import Question, Releases, epsilon_for


def require_within(
    limit: Budget,
    claims: Iterable[tuple[Party, Claim]],
    releases_of: Callable[[Party], Releases],
) -> None:
    """Raise `BudgetExceeded` where what is claimed anew brings somebody above a budget.

    Args:
        limit: the budget.
        claims: the new ones, each with the name of the dataset it is about.
        releases_of: all releases that concern a dataset, the new one among them.
    """
    asked = [(name, _question(c.charge, limit)) for name, c in claims if not c.is_idle]
    for name, question in dict.fromkeys(asked):
        upper = epsilon_for(releases_of(name), limit.delta, question).upper
        if upper > limit.epsilon:
            raise BudgetExceeded(upper, limit.epsilon, limit.delta, str(name))


def _question(charge: Charge, limit: Budget) -> Question:
    return Question(
        charge.unit if limit.unit is None else limit.unit,
        charge.vantage if limit.vantage is None else limit.vantage,
        charge.relation,
    )
