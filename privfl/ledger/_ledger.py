"""One book of every release: what was spent on whom, against whom."""

import operator
import secrets
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from privfl.core import (
    Charge,
    Party,
    Relation,
    Unit,
    Vantage,
    require,
    require_count,
    require_small_delta,
)
from privfl.ledger._account import DatasetAccount, DatasetsAccount
from privfl.ledger._book import Book
from privfl.ledger._claim import Claim
from privfl.ledger._entry import Entry
from privfl.ledger._posting import Posting
from privfl.ledger._reckoning import Question, epsilon_for
from privfl.ledger._store import Store

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from privfl.accounting import Interval


class Ledger:
    """Keep charges in one append-only file, each chained to the one before.

    A charge is on the disk before the release it is for leaves, so a process that is killed never
    owes less than it published. Several processes may charge one file. What a chain cannot catch
    by itself is the loss of its tail, or a copy that is put back: keep `head` somewhere else, and
    hand it to `verify`.

    Args:
        path: the file; it is made where there is none.

    Raises:
        LedgerTampered: for a file that is no ledger, or no longer.
        FileNotFoundError: for a folder that is not there.
        ValueError: for one on a network file system.
        LedgerUnavailable: for a file that cannot be opened now.

    >>> from dp_accounting import GaussianDpEvent
    >>> ledger = Ledger("run.db")
    >>> kinds = {"unit": "client", "vantage": "outsider", "relation": "zero-out"}
    >>> entry = ledger.charge(GaussianDpEvent(1.0), dataset="clinic-3", **kinds)
    >>> print(ledger.epsilon(delta=1e-5))
    at most 4.38 (closed form)
    >>> ledger.verify(anchor=entry.hash) == ledger.head
    True
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        """Open the file, or make it."""
        fix = "Name a file: what is not kept cannot be audited"
        require(str(path) != ":memory:", "A ledger is a file", repr(path), fix)
        self._store = Store(path)
        self.path = path
        self.run = secrets.token_hex(8)  # whoever opened the file: what an auditor counts as a run

    @property
    def head(self) -> str:
        """Hash of the last entry: 64 hexadecimal digits."""
        return self._store.head

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, in order."""
        return self._store.entries()

    def charge(
        self,
        event: object,
        *,
        unit: Unit | str,
        dataset: str,
        vantage: Vantage | str,
        relation: object,
        count: int = 1,
        max_records: int | None = None,
    ) -> Entry:
        """Write down a release that somebody else made: it is stored as declared.

        Args:
            event: a ``dp_accounting.DpEvent``, its noise over the most one unit contributes.
            unit: ``"record"`` or ``"client"``.
            dataset: whose data was released.
            vantage: against whom the event holds; there is no default, since the weakest
                adversary would be the easy answer.
            relation: which datasets are neighbours.
            count: how often it happened.
            max_records: the most records that one client holds; see `dataset`.

        Raises:
            ValueError: for an event, a unit, a vantage or a relation that is not known.
        """
        from privfl.accounting import epsilon_of

        count = operator.index(count)
        require_count("count", count, least=1)
        _require_cap(max_records)
        kinds = (Unit(unit), Vantage.of(vantage), Relation.of(relation))
        charge = Charge(event, *kinds, count=count)
        epsilon_of(event, 0.5, charge.relation)  # refuses an event that has no bound
        release = secrets.token_hex(16)
        posting = Posting(release, _named(dataset), Claim.of(charge, max_records), witnessed=False)
        (entry,) = self._store.append([posting.draft(run=self.run)])
        return entry

    def dataset(self, name: str, max_records: int | None = None) -> DatasetAccount:
        """Return what ``ledger=`` takes: an account of one dataset.

        Args:
            name: of the dataset. Different names count as one dataset, unless `datasets` declared
                them disjoint: a new name does not refresh a budget.
            max_records: the most records that one client holds, which turns record-level charges
                into group privacy of a client; None leaves a client without a guarantee.
        """
        _require_cap(max_records)
        return DatasetAccount(self, _named(name), max_records=max_records)

    def datasets(
        self, names: Mapping[Party, str], max_records: int | None = None
    ) -> DatasetsAccount:
        """Return an account of many clients' datasets, and declare the names disjoint.

        The declaration is an entry: a statement lists it among the assumptions.

        >>> account = Ledger("run.db").datasets({0: "clinic-0", 1: "clinic-1"})
        >>> account.name_of(1)
        'clinic-1'
        """
        wanted, fix = "names must map clients to datasets", "Say {0: 'clinic-0', 1: 'clinic-1'}"
        require(isinstance(names, Mapping) and len(names) > 0, wanted, repr(names), fix)
        _require_cap(max_records)
        declared = sorted({_named(name) for name in names.values()})
        if len(declared) > 1 and frozenset(declared) not in self.book().disjoint:
            self._store.append([{"kind": "disjoint", "datasets": declared}])
        return DatasetsAccount(self, dict(names), max_records=max_records)

    def epsilon(
        self,
        delta: float,
        *,
        unit: Unit | str | None = None,
        dataset: str | None = None,
        vantage: Vantage | str | None = None,
        relation: object = None,
        lower: bool = False,
    ) -> "Interval":
        """Bound epsilon of all that was charged.

        Each argument may be left out where the ledger holds one value of it.

        Args:
            delta: at which epsilon is stated.
            unit: whose presence is hidden.
            dataset: whose data; charges of names that were not declared disjoint from it count.
            vantage: who looks.
            relation: which datasets are neighbours.
            lower: also bound the accountant's slack from below, which takes seconds.

        Raises:
            ValueError: where the ledger holds several values of what was left out, or the charges
                say nothing under the relation that is asked.
            LedgerTampered: where the chain is broken.

        Guarantees:
            - A record's epsilon counts client-level charges too; a client's counts record-level
              charges as group privacy, or is infinite.
            - What holds against the server holds against an outsider, and not the other way round.
            - A release that nobody defended makes it infinite for good.
        """
        from privfl.accounting import Interval, require_delta

        require_delta(delta)
        book = self.book()
        if not book.postings:
            Question(
                Unit(unit or "client"),
                Vantage.of(vantage or "server"),
                Relation.of(relation or "zero-out"),
            )
            return Interval(0.0 if lower else None, 0.0, "closed form")
        dataset = book.only("dataset", dataset)
        question = book.question(unit, vantage, relation)
        n_units = book.n_units(dataset, question.unit)
        require_small_delta(delta, n_units, f"{question.unit}s of {dataset}")
        return epsilon_for(book.of_dataset(dataset), delta, question, lower=lower)

    def verify(self, anchor: str | None = None) -> str:
        """Read the whole file again and check every link: -> head.

        Args:
            anchor: a head that was kept elsewhere; it must still be in the chain.

        Raises:
            LedgerTampered: where something does not fit.
        """
        return self._store.verify(anchor)

    def sign(self, key: "Ed25519PrivateKey") -> Entry:
        """Append a signature over the head, by an Ed25519 key of ``cryptography``."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

        def over(head: str) -> list[dict[str, object]]:
            signature = key.sign(head.encode()).hex()
            return [{"kind": "signature", "key": public, "signature": signature}]

        (entry,) = self._store.append(over)
        return entry

    def book(self) -> Book:
        """Read the charges and declarations."""
        return Book.of(self._store.entries())

    def post(
        self, drafts: Sequence[Mapping[str, object]], check: Callable[[Book], None] | None = None
    ) -> tuple[Entry, ...]:
        """Check and append in one transaction, for accounts."""
        if check is None:
            return self._store.append(drafts)
        return self._store.append(drafts, lambda entries: check(Book.of(entries)))

    def __repr__(self) -> str:
        """Name the file."""
        return f"Ledger({str(self.path)!r})"


def _named(name: str) -> str:
    require(isinstance(name, str) and name.strip() != "", "A dataset has a name", repr(name))
    return name


def _require_cap(max_records: int | None) -> None:
    if max_records is not None:
        require_count("max_records", max_records, least=1)
