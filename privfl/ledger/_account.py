"""What a part charges: a ledger, whose data, and perhaps a budget."""

import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from privfl.core import Budget, Charge, Party, Unit, Vantage, require
from privfl.ledger._claim import UNDEFENDED, Claim
from privfl.ledger._limits import require_within
from privfl.ledger._posting import Posting
from privfl.ledger._reckoning import epsilon_for

if TYPE_CHECKING:
    from privfl.accounting import Interval
    from privfl.ledger._book import Book
    from privfl.ledger._ledger import Ledger

Charges = Sequence[Charge] | Mapping[Party, Sequence[Charge]]


@dataclass(frozen=True)
class Reservation:
    """Stand for charges that are written. They stay, whatever happens to the release.

    It may be used in a ``with`` statement, which changes nothing about that.
    """

    ledger: "Ledger" = field(repr=False)
    release: str

    def bind(self, *, update: bytes = b"", model: bytes = b"") -> None:
        """Write down what was released: hashes of the aggregate and of the model after it."""
        for what, digest in {"update": update, "model": model}.items():
            require(
                len(digest) in (0, 32), f"{what} is a SHA-256, 32 bytes", f"{len(digest)} bytes"
            )
        draft = {"kind": "release", "release": self.release}
        self.ledger.post([{**draft, "update": update.hex(), "model": model.hex()}])

    def __enter__(self) -> Self:
        """Return itself: everything is written already."""
        return self

    def __exit__(self, *why: object) -> None:
        """Give nothing back."""


@dataclass(frozen=True)
class Account:
    """Charge a ledger for the data of some datasets, within a budget.

    Attributes:
        ledger: where charges go.
        max_records: the most records that one client holds, where that was declared.
        limits: budgets, each of which must hold.
    """

    ledger: "Ledger"
    max_records: int | None = field(default=None, kw_only=True)
    limits: tuple[Budget, ...] = field(default=(), kw_only=True)

    @property
    def names(self) -> tuple[str, ...]:
        """The datasets."""
        raise NotImplementedError

    def name_of(self, party: Party) -> str:
        """Return the dataset of one client."""
        raise NotImplementedError

    def budget(self, epsilon: float, delta: float) -> Self:
        """Return this account with a budget: what would pass it is refused before it happens."""
        return self.within(Budget(epsilon, delta))

    def within(self, limit: Budget) -> Self:
        """Return this account with one more budget."""
        return replace(self, limits=(*self.limits, limit))

    def reserve(self, charges: Charges, *, pipeline: str = "", seeded: bool = False) -> Reservation:
        """Check the budget and write the charges of one release, in one transaction.

        Args:
            charges: of every dataset of this account, or by client. No charge at all says that
                the release is not defended.
            pipeline: repr of what releases.
            seeded: noise or sampling come from a replay seed, so nothing is private (rule R28).

        Raises:
            BudgetExceeded: where they do not fit; then nothing is written.
            ValueError: for a client whose dataset is not known.
        """
        _require_charges(charges)
        release = secrets.token_hex(16)
        postings = self._postings(charges, release, seeded)
        drafts = [posting.draft(self.ledger.run, pipeline) for posting in postings]
        self.ledger.post(drafts, lambda book: self._check(book, postings))
        return Reservation(self.ledger, release)

    def epsilon(
        self,
        delta: float,
        *,
        unit: Unit | str | None = None,
        vantage: Vantage | str | None = None,
        relation: object = None,
    ) -> "Interval":
        """Return the largest epsilon of the account's datasets so far; see `Ledger.epsilon`."""
        book = self.ledger.book()
        if not book.postings:
            return self.ledger.epsilon(delta, unit=unit, vantage=vantage, relation=relation)
        question = book.question(unit, vantage, relation)
        found = [epsilon_for(book.of_dataset(name), delta, question) for name in self.names]
        return max(found, key=lambda interval: interval.upper)

    def _check(self, book: "Book", postings: Sequence[Posting]) -> None:
        whole = book.with_postings(postings)
        claims = [(posting.dataset, posting.claim) for posting in postings]
        for limit in self.limits:
            require_within(limit, claims, lambda name: whole.of_dataset(str(name)))

    def _postings(self, charges: Charges, release: str, seeded: bool) -> list[Posting]:
        """Write charges as postings of one release, dataset by dataset."""
        if isinstance(charges, Mapping):
            pairs = [(self.name_of(party), claims) for party, claims in charges.items()]
        else:
            pairs = [(name, charges) for name in self.names]
        groups: dict[str, list[tuple[Claim, ...]]] = defaultdict(list)
        for name, group in pairs:
            made = (Claim.of(c, self.max_records, seeded=seeded) for c in group or (UNDEFENDED,))
            groups[name].append(tuple(made))
        return [
            Posting(release, name, claim)
            for name, claims in groups.items()
            for claim in _of_one_dataset(claims)
        ]


def _require_charges(charges: object) -> None:
    groups = charges.values() if isinstance(charges, Mapping) else [charges]
    good = all(isinstance(g, Sequence) and all(isinstance(c, Charge) for c in g) for g in groups)
    fix = "Write down an event by hand with ledger.charge(event, …)"
    require(good, "reserve takes a list of Charges, or one for each client", repr(charges), fix)


def _of_one_dataset(parties: Sequence[tuple[Claim, ...]]) -> list[Claim]:
    """Put together what several clients with the same dataset claim of one release.

    About a client as a whole they claim the same, once; whoever was not in the cohort claims no
    more than whoever was. About a record every claim stands: nobody said that the clients hold
    different ones.
    """
    whole = dict.fromkeys(tuple(c for c in p if c.charge.unit is Unit.CLIENT) for p in parties)
    present = [claims for claims in whole if not any(c.is_idle for c in claims)] or list(whole)
    records = [c for p in parties for c in p if c.charge.unit is Unit.RECORD]
    return [claim for claims in present for claim in claims] + records


@dataclass(frozen=True)
class DatasetAccount(Account):
    """Charge everything to one dataset: see `Ledger.dataset`."""

    name: str

    @property
    def names(self) -> tuple[str, ...]:
        """The one name."""
        return (self.name,)

    def name_of(self, party: Party) -> str:
        """Return the one name: its data is with every client."""
        del party
        return self.name


@dataclass(frozen=True)
class DatasetsAccount(Account):
    """Charge each client's own dataset: see `Ledger.datasets`."""

    by_client: Mapping[Party, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Every name once."""
        return tuple(dict.fromkeys(self.by_client.values()))

    def name_of(self, party: Party) -> str:
        """Return the client's dataset."""
        known = ", ".join(map(str, self.by_client))
        wanted, fix = f"The ledger has datasets of clients {known}", "Name every client there"
        require(party in self.by_client, wanted, repr(party), fix)
        return self.by_client[party]
