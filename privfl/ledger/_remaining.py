"""How much more fits into a budget."""

from collections import Counter
from collections.abc import Callable

from privfl.ledger._book import Book
from privfl.ledger._reckoning import Question, epsilon_for, whole_of

MOST = 1 << 20  # releases: beyond, a budget does not end


def remaining(book: Book, dataset: str, question: Question, epsilon: float, delta: float) -> int:
    """Return how many more releases like the last one that told something fit into ``epsilon``.

    Args:
        book: what was charged.
        dataset: whose budget it is.
        question: whose presence, against whom.
        epsilon: what may be spent in all.
        delta: at which it is stated.
    """
    releases = book.in_order(dataset)
    telling = (c for c in reversed(releases) if whole_of({c: 1}, delta, question).events)
    last = next(telling, None)
    if last is None:
        return MOST

    made = Counter(releases)

    def fits(more: int) -> bool:
        whole = made + Counter({last: more})
        return epsilon_for(whole, delta, question).upper <= epsilon

    return _most(fits)


def _most(fits: Callable[[int], bool]) -> int:
    """Return the greatest number that fits, where less always fits if more does."""
    if not fits(1):
        return 0
    high = 2
    while high < MOST and fits(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
