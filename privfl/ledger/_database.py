"""The SQLite file: how it is opened, what it must look like, and what its errors mean."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from privfl.ledger._chain import GENESIS
from privfl.ledger._tampered import LedgerTampered
from privfl.ledger._unavailable import LedgerUnavailable

APPLICATION = 0x7072666C  # "prfl": what `file` and SQLite tell the file by
VERSION = 1
PATIENCE = 30.0  # seconds to wait for a lock; a writer holds it for the time of one check

TABLES = {
    "entries": "CREATE TABLE entries("
    "seq INTEGER PRIMARY KEY, body TEXT NOT NULL, hash TEXT NOT NULL)",
    "head": "CREATE TABLE head(count INTEGER NOT NULL, hash TEXT NOT NULL)",
    # Against accidents only; whoever wants to can drop a trigger.
    "no_update": "CREATE TRIGGER no_update BEFORE UPDATE ON entries "
    "BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END",
    "no_delete": "CREATE TRIGGER no_delete BEFORE DELETE ON entries "
    "BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END",
}

# None of these says anything about what was written.
PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
}


@contextmanager
def plainly(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into the two a ledger has, and name the file in them."""
    try:
        yield
    except sqlite3.Error as error:
        # An extended code has its kind in the lowest byte; errors of Python's own have none.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in PASSING:
            raise LedgerUnavailable(f"{path}: {error}. Nothing was written.") from None
        raise LedgerTampered(f"{path} is no ledger, or was changed: {error}") from None
    except UnicodeError:  # of SQLite's message, which quotes what it found in the file
        raise LedgerTampered(f"{path} is no ledger, or was changed: it holds no text") from None
    except LedgerTampered as error:
        raise LedgerTampered(f"{path}: {error}") from None


def create(path: Path) -> None:
    """Make the file a ledger if it is missing or empty, once however many try."""
    _refuse_log(path)
    with closing(_connected(path, "rwc")) as db:
        # Reading undoes what a writer that died while creating has left.
        db.execute("SELECT 1 FROM sqlite_master").fetchall()
        if path.stat().st_size == 0:
            db.execute("BEGIN IMMEDIATE")
            if path.stat().st_size == 0:
                _write_schema(db)
            db.execute("COMMIT")


def opened(path: Path) -> sqlite3.Connection:
    """Return a connection to the ledger. One for each operation: none may cross a fork."""
    if not path.exists():
        raise LedgerTampered("the file is gone")
    _refuse_log(path)
    return _connected(path, "rw")  # falls back to reading by itself where writing is not allowed


def begin(db: sqlite3.Connection, kind: str) -> None:
    """Begin a transaction, ``DEFERRED`` to read or ``IMMEDIATE`` to write, on a sound file.

    Raises:
        LedgerTampered: the file is none that this version writes.
    """
    db.execute(f"BEGIN {kind}")
    if _one(db, "PRAGMA application_id") != APPLICATION:
        raise LedgerTampered("the file is not a ledger of privfl")
    version = _one(db, "PRAGMA user_version")
    if version != VERSION:
        fix = "Read it with the privfl that wrote it"
        raise LedgerTampered(f"the format must be of version {VERSION}. Found {version}. {fix}")
    if dict(db.execute("SELECT name, sql FROM sqlite_master")) != TABLES:
        raise LedgerTampered("the tables or triggers are not those of a ledger")
    if _one(db, "PRAGMA journal_mode") != "delete":
        raise LedgerTampered(WRITE_AHEAD)


WRITE_AHEAD = (
    "somebody put the file into write-ahead mode, where a changed byte can hide the last entries. "
    "Run `PRAGMA journal_mode=DELETE` on it"
)


def _refuse_log(path: Path) -> None:
    """Raise before SQLite opens a file with a write-ahead log, which would change both."""
    if path.with_name(path.name + "-wal").exists():
        raise LedgerTampered(WRITE_AHEAD)


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.as_uri()}?mode={mode}"
    with ExitStack() as unless_ready:
        db = sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None)
        unless_ready.callback(db.close)
        # EXTRA also syncs the folder: without it a power failure can bring a deleted journal back,
        # and the journal takes back the entry.
        db.execute("PRAGMA synchronous=EXTRA")
        db.execute("PRAGMA fullfsync=ON")  # on macOS fsync alone does not reach the disk
        unless_ready.pop_all()
    return db


def _write_schema(db: sqlite3.Connection) -> None:
    db.execute(f"PRAGMA application_id={APPLICATION}")
    db.execute(f"PRAGMA user_version={VERSION}")
    for statement in TABLES.values():
        db.execute(statement)
    db.execute("INSERT INTO head VALUES (0, ?)", (GENESIS,))


def _one(db: sqlite3.Connection, question: str) -> object:
    (answer,) = db.execute(question).fetchone()
    return answer
