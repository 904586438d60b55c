"""Where a ledger stands: one row for each unit, dataset and adversary."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from privfl.core import require_small_delta
from privfl.ledger._book import Book
from privfl.ledger._reckoning import Question, Whole, epsilon_of_whole, whole_of

if TYPE_CHECKING:
    from privfl.accounting import Interval


@dataclass(frozen=True)
class Standing:
    """State what one dataset has spent, for one unit and one adversary.

    Attributes:
        question: whose presence, against whom, between which neighbours.
        dataset: whose data.
        releases: how many releases concern it.
        whole: all of it as counted events.
        bounds: what each accountant says, by name; an infinite one is called ``non-private``.
        declared: how many releases rest on what a person typed.
        n_units: how many units the releases are about, 0 where it was never said.
    """

    question: Question
    dataset: str
    releases: int
    whole: Whole = field(repr=False)
    bounds: "Mapping[str, Interval]"
    declared: int
    n_units: int

    @property
    def interval(self) -> "Interval":
        """The least of the bounds."""
        return min(self.bounds.values(), key=lambda interval: interval.upper)


def standings(book: Book, delta: float) -> Iterator[Standing]:
    """Go through all that a book can be asked: each unit, adversary and relation, each dataset.

    Raises:
        ValueError: where ``delta`` is at or above one over the number of units.
    """
    for question in questions(book):
        for dataset in book.values("dataset"):
            releases = book.of_dataset(dataset)
            whole = whole_of(releases, delta, question)
            n_units = book.n_units(dataset, question.unit)
            require_small_delta(delta, n_units, f"{question.unit}s of {dataset}")
            yield Standing(
                question=question,
                dataset=dataset,
                releases=sum(releases.values()),
                whole=whole,
                bounds=_bounds(whole),
                declared=book.declared(dataset),
                n_units=n_units,
            )


def by_question(found: Iterable[Standing]) -> dict[Question, list[Standing]]:
    """Put together what answers the same question about different datasets."""
    groups: dict[Question, list[Standing]] = {}
    for standing in found:
        groups.setdefault(standing.question, []).append(standing)
    return groups


def _bounds(whole: Whole) -> "Mapping[str, Interval]":
    from privfl.accounting import bounds_of

    if whole.group > 1:
        interval = epsilon_of_whole(whole)
        return {interval.method: interval}
    return bounds_of(whole.event, whole.delta, whole.relation)


def questions(book: Book) -> list[Question]:
    """Return the questions that some claim answers, in order."""
    charges = [p.claim.charge for p in book.postings if p.claim.is_telling]
    charges = charges or [p.claim.charge for p in book.postings]
    found = {Question(c.unit, c.vantage, c.relation) for c in charges}
    return sorted(found, key=lambda q: (q.unit, len(q.vantage.parties), str(q.vantage), q.relation))
