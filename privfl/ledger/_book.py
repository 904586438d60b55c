"""The charges and declarations of a ledger, read."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from heapq import merge
from typing import TYPE_CHECKING, Any

from privfl.core import Relation, Unit, Vantage, require
from privfl.ledger._claim import Claim
from privfl.ledger._posting import Posting
from privfl.ledger._reckoning import Question

if TYPE_CHECKING:
    from privfl.ledger._entry import Entry


@dataclass(frozen=True)
class Book:
    """Hold the postings of a ledger, and which dataset names were declared disjoint.

    >>> Book((), frozenset()).of_dataset("clinic-3")
    Counter()
    """

    postings: tuple[Posting, ...]
    disjoint: frozenset[frozenset[str]]

    @classmethod
    def of(cls, entries: "Sequence[Entry]") -> "Book":
        """Read entries."""
        charges = tuple(_posting(entry) for entry in entries if entry.kind == "charge")
        declared = (e.fields["datasets"] for e in entries if e.kind == "disjoint")
        return cls(charges, frozenset(frozenset(names) for names in declared))

    def with_postings(self, postings: Sequence[Posting]) -> "Book":
        """Return the book with more postings."""
        return Book((*self.postings, *postings), self.disjoint)

    def of_dataset(self, name: str) -> "Counter[tuple[Claim, ...]]":
        """Return the releases that concern a dataset: all but those of names disjoint from it."""
        return Counter(self.in_order(name))

    def in_order(self, name: str) -> list[tuple[Claim, ...]]:
        """Return the same releases one by one, as they were charged."""
        apart = self._apart_from(name)
        releases: dict[str, list[Claim]] = defaultdict(list)
        for k in merge(*(at for other, at in self._places.items() if other not in apart)):
            releases[self.postings[k].release].append(self.postings[k].claim)
        return [tuple(claims) for claims in releases.values()]

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        """Where the postings of each dataset stand."""
        found: dict[str, list[int]] = defaultdict(list)
        for k, posting in enumerate(self.postings):
            found[posting.dataset].append(k)
        return found

    def only(self, what: str, asked: object) -> Any:
        """Return what is asked, or the only value of it that the book holds."""
        held = self.values(what)
        if asked is None:
            names = ", ".join(map(str, held))
            wanted = f"{what}= may be left out where the ledger holds one value of it"
            require(len(held) == 1, wanted, names, f"Ask for one {what}")
            return held[0]
        if what == "dataset":
            require(asked in held, f"dataset must be one of {', '.join(held)}", repr(asked))
        return asked

    def question(self, unit: object, vantage: object, relation: object) -> Question:
        """Ask what is asked, and for the rest about the only value that the book holds."""
        return Question(
            Unit(self.only("unit", unit)),
            Vantage.of(self.only("vantage", vantage)),
            Relation.of(self.only("relation", relation)),
        )

    def values(self, what: str) -> list[Any]:
        """Return the datasets, units, vantages or relations that claims are about, in order.

        What claims nothing, or that nothing happened, is about all of them.
        """
        if what == "dataset":
            return sorted({posting.dataset for posting in self.postings})
        claims = [posting.claim for posting in self.postings]
        telling = [claim for claim in claims if claim.is_telling] or claims
        return sorted({getattr(claim.charge, what) for claim in telling}, key=str)

    def n_units(self, dataset: str, unit: Unit) -> int:
        """Return how many units the claims about a dataset speak of, 0 where none says it."""
        charges = (p.claim.charge for p in self.postings if p.dataset == dataset)
        return max((c.n_units for c in charges if c.unit is unit), default=0)

    def declared(self, dataset: str) -> int:
        """Count the releases of a dataset that rest on what a person typed."""
        return len({p.release for p in self.postings if p.dataset == dataset and not p.witnessed})

    def _apart_from(self, name: str) -> frozenset[str]:
        groups = [names - {name} for names in self.disjoint if name in names]
        return frozenset().union(*groups)


@lru_cache(maxsize=1 << 17)  # a ledger is read again for each round
def _posting(entry: "Entry") -> Posting:
    return Posting.of(entry)
