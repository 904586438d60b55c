"""The file that entries are appended to."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from os import PathLike
from pathlib import Path

from privfl.ledger._chain import GENESIS, body_of, followed, head_of, linked
from privfl.ledger._database import begin, create, opened, plainly
from privfl.ledger._entry import Entry
from privfl.ledger._fields import is_hash
from privfl.ledger._local import require_local
from privfl.ledger._signature import require_signature
from privfl.ledger._tampered import LedgerTampered

Check = Callable[[Sequence[Entry]], None]
Drafts = Sequence[Mapping[str, object]]


class Store:
    """Append entries to a file, each chained to the one before, and read them back verified.

    Any number of threads, processes and stores may use one file; a store may cross a fork.

    Args:
        path: the file, made where it is missing or empty. Its folder must be there.

    Raises:
        FileNotFoundError: the folder is not there.
        ValueError: the file would lie on a network file system.
        LedgerTampered: the file is there and is no ledger.

    Guarantees:
        - An entry that `append` returned is on the disk, whatever happens to the process.
        - What is appended together is there together or not at all.
        - Between a check and what it lets in, nothing else gets in.
        - Every change of a byte is noticed, or changes no entry.

    >>> store = Store("run.db")
    >>> (entry,) = store.append([{"kind": "disjoint", "datasets": ["north", "south"]}])
    >>> entry.seq, store.head == entry.hash == store.verify()
    (1, True)
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        """Open the file, or make it."""
        self.path = Path(path).resolve()
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"{self.path.parent} is not there. Make the folder first.")
        require_local(self.path)
        # What was read. Only ever replaced, never changed, so that it needs no lock.
        self._known: tuple[Entry, ...] = ()
        with plainly(self.path):
            create(self.path)
        self.entries()

    def __repr__(self) -> str:
        """Name the file."""
        return f"Store({str(self.path)!r})"

    @property
    def head(self) -> str:
        """The hash of the last entry, which says all of them; 64 zeros where there is none."""
        return head_of(self.entries())

    def entries(self) -> tuple[Entry, ...]:
        """Return all entries in order. What this store has read before is not read again.

        Raises:
            LedgerTampered: the chain is broken, or the file no longer holds what was read before.
            LedgerUnavailable: the file is locked for too long.
        """
        with plainly(self.path), closing(opened(self.path)) as db:
            begin(db, "DEFERRED")
            self._known = _read(db, self._known)
        return self._known

    def append(
        self, drafts: Drafts | Callable[[str], Drafts], check: Check | None = None
    ) -> tuple[Entry, ...]:
        """Write ``drafts`` in one transaction, and return them as entries once they are on disk.

        Args:
            drafts: the kind and the fields of each entry; the store adds the rest. Or a function
                that makes them from the head they will follow.
            check: is shown all entries so far, while nobody else can write, and raises to refuse.
                It must not append to this file.

        Raises:
            ValueError: a draft has not the fields of its kind. Nothing is written.
            LedgerTampered: as for `entries`. Nothing is written.
            LedgerUnavailable: the file is locked for too long, read-only, or the disk is full.
        """
        with plainly(self.path):
            db = opened(self.path)
        with closing(db):  # which takes back what was not committed
            with plainly(self.path):
                begin(db, "IMMEDIATE")
                known = _read(db, self._known)
            if check is not None:
                check(known)
            whole = _extended(known, drafts(head_of(known)) if callable(drafts) else drafts)
            new = whole[len(known) :]
            with plainly(self.path):
                _write(db, new, whole)
                db.execute("COMMIT")
        self._known = whole
        return new

    def verify(self, anchor: str | None = None) -> str:
        """Read the whole file anew, check everything that can be checked, and return the head.

        Args:
            anchor: a head seen earlier, kept elsewhere. Nothing else tells a ledger from an
                earlier copy of it, or from one written anew from the start.

        Raises:
            ValueError: the anchor is no hash.
            LedgerTampered: something was changed, or ``anchor`` is not among the entries' hashes.
            LedgerUnavailable: the file is locked for too long.
        """
        if anchor is not None and not is_hash(anchor):
            raise ValueError(f"anchor must be 64 hex digits. Found {anchor!r}.")
        with plainly(self.path), closing(opened(self.path)) as db:
            begin(db, "DEFERRED")
            _require_integrity(db)
            whole = _read(db, ())
            _require_seen(whole, [head_of(self._known), *([anchor] if anchor else [])])
            for entry in whole:
                require_signature(entry)
        self._known = whole
        return head_of(whole)


def _read(db: sqlite3.Connection, known: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Return ``known`` and all entries after it, if they are one chain that ends in the head."""
    if known:
        found = db.execute("SELECT hash FROM entries WHERE seq = ?", (len(known),)).fetchone()
        if found != (known[-1].hash,):
            raise LedgerTampered(f"entry {len(known)} is no longer what it was")
    start = len(known) + 1 if known else -(2**63)  # the least there is: nothing hides before it
    rows = db.execute("SELECT seq, body, hash FROM entries WHERE seq >= ? ORDER BY seq", (start,))
    whole = list(known)
    for row in rows:
        whole.append(linked(row, len(whole) + 1, head_of(whole)))
    if db.execute("SELECT count, hash FROM head").fetchall() != [(len(whole), head_of(whole))]:
        raise LedgerTampered(f"the head is not that of the {len(whole)} entries")
    return tuple(whole)


def _extended(
    known: tuple[Entry, ...], drafts: Sequence[Mapping[str, object]]
) -> tuple[Entry, ...]:
    whole = list(known)
    for draft in drafts:
        whole.append(followed(len(whole) + 1, head_of(whole), draft))
    return tuple(whole)


def _write(db: sqlite3.Connection, new: Sequence[Entry], whole: Sequence[Entry]) -> None:
    rows = [(entry.seq, body_of(entry.fields), entry.hash) for entry in new]
    db.executemany("INSERT INTO entries VALUES (?, ?, ?)", rows)
    db.execute("UPDATE head SET count = ?, hash = ?", (len(whole), head_of(whole)))


def _require_integrity(db: sqlite3.Connection) -> None:
    found = db.execute("PRAGMA integrity_check").fetchall()
    if found != [("ok",)]:
        raise LedgerTampered(f"the file is damaged: {found[0][0]}")


def _require_seen(whole: Sequence[Entry], heads: Sequence[str]) -> None:
    """Raise unless each of ``heads`` was the head at some time."""
    hashes = {GENESIS, *(entry.hash for entry in whole)}
    for head in heads:
        if head not in hashes:
            raise LedgerTampered(
                f"no entry has the hash {head}, which was the head before: the last entries are "
                "gone, the file is an older copy, or it is another ledger. Find the one that has it"
            )
