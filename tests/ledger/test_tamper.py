"""A ledger that somebody changes: what is noticed, and what only an anchor shows."""

import json
import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.drafts import auditor, charge, disjoint
from ledger.test_crash import journal_of
from privfl.ledger._chain import GENESIS, body_of, hash_of
from privfl.ledger._store import Store
from privfl.ledger._tampered import LedgerTampered

AUDITOR = auditor()


@pytest.fixture
def store(tmp_path):
    """Five entries, appended in three transactions."""
    store = Store(tmp_path / "run.db")
    store.append([charge(), charge()])
    store.append([disjoint("a", "b")])
    store.append([charge(dataset="a"), charge(dataset="b")])
    return store


# Two readers: the store, opened anew, and the script of the auditor.


def found_by_store(path):
    """The head, which says all entries, or nothing where tampering is noticed."""
    try:
        return Store(path).verify()
    except LedgerTampered:
        return None


def found_by_auditor(path):
    """The head and the entries."""
    try:
        entries, head = AUDITOR.read(path)
    except (ValueError, sqlite3.Error):
        return None, None
    return head, entries


def found_by_both(path):
    """What they agree on."""
    (head, entries), stored = found_by_auditor(path), found_by_store(path)
    assert stored == head
    return head, entries


def assert_noticed(path, anchor=GENESIS):
    with pytest.raises(LedgerTampered, match=r"run\.db"):
        Store(path).verify(anchor)
    with pytest.raises((ValueError, sqlite3.Error)):
        AUDITOR.read(path, anchor)


def assert_passes(path, anchor=GENESIS):
    assert AUDITOR.read(path, anchor)[1] == Store(path).verify(anchor)


# Every byte.


@pytest.fixture
def quick_path():
    """A file in memory where there is such a place: thousands of changes wait for no disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder) / "run.db"


@contextmanager
def flipped(handle, place, mask):
    """Flip bits of one byte, and put it back."""
    (byte,) = os.pread(handle, 1, place)
    os.pwrite(handle, bytes([byte ^ mask]), place)
    yield
    os.pwrite(handle, bytes([byte]), place)


def as_it_is(path):
    del path


def with_small_pages(path):
    """Lay the ledger out anew: fewer unused bytes, more pages, entries that fill several."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA page_size=512")
        db.execute("VACUUM")


@pytest.mark.parametrize(("lay_out", "step"), [(with_small_pages, 1), (as_it_is, 29)])
def test_every_changed_byte_is_noticed_or_changes_nothing(quick_path, lay_out, step):
    """All bits of each byte, and one bit of each; of the larger layout, which is empty for the
    most part, of each 29th.
    """
    path = quick_path
    Store(path).append([disjoint("a", "b"), charge()])
    lay_out(path)
    data, untouched = path.read_bytes(), found_by_both(path)
    assert len(untouched[1]) == 2
    outcomes = Counter()
    with closing_descriptor(path) as handle:
        for place in range(0, len(data), step):
            for mask in (0xFF, 1 << place % 8):
                with flipped(handle, place, mask):
                    found = found_by_both(path)
                assert found in ((None, None), untouched), place
                outcomes["noticed" if found[0] is None else "changed nothing"] += 1
    assert path.read_bytes() == data
    print(f"\n{len(data)} bytes:", dict(outcomes))
    assert outcomes["noticed"] > sum(len(body_of(entry)) for entry in untouched[1]) / step
    assert outcomes["changed nothing"] > 0


@contextmanager
def closing_descriptor(path):
    handle = os.open(path, os.O_RDWR)
    try:
        yield handle
    finally:
        os.close(handle)


def test_every_changed_byte_of_a_killed_writers_journal_loses_nothing(quick_path):
    """The journal can undo a transaction that was written and not finished, whose release never
    left. Damaged, it may fail to: then the transaction stands as a whole, and charges more.
    """
    path, journal = quick_path, quick_path.with_name("run.db-journal")
    store = Store(path)
    store.append([charge(), charge()])
    with_small_pages(path)
    before, undone = path.read_bytes(), found_by_auditor(path)
    store.append([disjoint("a", "b")])
    after, stands = path.read_bytes(), found_by_auditor(path)
    log = journal_of(before, after)
    expected = [(None, None), undone, stands]
    outcomes = Counter()
    # of the zeros that fill the header's sector up, which nobody reads, only some
    for place in [*range(40), *range(40, 512, 20), *range(512, len(log))]:
        broken = bytearray(log)
        broken[place] ^= 0xFF if place % 2 else 1 << place // 2 % 8
        found = []
        for find in (found_by_store, found_by_auditor):
            path.write_bytes(after)
            journal.write_bytes(broken)
            found.append(find(path))
        assert found[0] == found[1][0], place
        outcomes[expected.index(found[1])] += 1
    names = ["noticed", "changed nothing", "the transaction stands"]
    print(f"\n{len(log)} bytes:", {name: outcomes[i] for i, name in enumerate(names)})
    assert all(outcomes[i] > 0 for i in range(3))


@pytest.fixture
def write_ahead(store, tmp_path):
    """A ledger that somebody put into write-ahead mode, with its last entries in the log."""
    folder = tmp_path / "copy"
    folder.mkdir()
    path = folder / "run.db"
    with closing(sqlite3.connect(store.path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        body = body_of(dict(store_entry := next_fields(db)))
        db.execute("BEGIN")
        db.execute("INSERT INTO entries VALUES (?, ?, ?)", (6, body, hash_of(body)))
        db.execute("UPDATE head SET count = 6, hash = ?", (hash_of(body),))
        db.execute("COMMIT")
        for name in ("run.db", "run.db-wal"):
            shutil.copy(store.path.with_name(name), folder / name)
    assert store_entry["seq"] == 6
    return path


def next_fields(db):
    (text,) = db.execute("SELECT body FROM entries WHERE seq = 5").fetchone()
    fields = json.loads(text)
    return fields | {"seq": 6, "previous": hash_of(text)}


def count_plainly(path):
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT count(*) FROM entries").fetchone()[0]


def test_a_changed_byte_of_a_write_ahead_log_is_noticed(write_ahead):
    """In that mode SQLite itself drops the tail without a word: the control below."""
    log = write_ahead.with_name("run.db-wal")
    data, main = log.read_bytes(), write_ahead.read_bytes()
    for place in range(0, len(data), 101):
        broken = bytearray(data)
        broken[place] ^= 0xFF
        log.write_bytes(broken)
        assert found_by_both(write_ahead) == (None, None)
    assert (log.read_bytes(), write_ahead.read_bytes()) == (bytes(broken), main)
    assert count_plainly(write_ahead) == 5  # of six


def test_a_ledger_can_be_brought_back_from_write_ahead_mode(write_ahead):
    with pytest.raises(LedgerTampered, match="Run `PRAGMA journal_mode=DELETE` on it"):
        Store(write_ahead)
    with closing(sqlite3.connect(write_ahead)) as db:
        db.execute("PRAGMA journal_mode=DELETE")
    assert len(Store(write_ahead).entries()) == 6
    assert_passes(write_ahead)


def test_write_ahead_mode_is_noticed_without_a_log_too(store):
    with closing(sqlite3.connect(store.path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
    assert_noticed(store.path)
    with pytest.raises(LedgerTampered, match="write-ahead"):
        store.append([charge()])


# Whole entries, by somebody who knows SQLite.


@contextmanager
def forging(path):
    """Let entries be changed, and leave no trace of it in the tables."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        names = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in names:
            db.execute(f"DROP TRIGGER {name}")
        yield db
        for _, statement in names:
            db.execute(statement)


def write_chain(db, bodies):
    """Replace all entries by a chain that is sound in itself."""
    db.execute("DELETE FROM entries")
    previous = GENESIS
    for seq, fields in enumerate(bodies, start=1):
        body = body_of(fields | {"seq": seq, "previous": previous})
        previous = hash_of(body)
        db.execute("INSERT INTO entries VALUES (?, ?, ?)", (seq, body, previous))
    db.execute("UPDATE head SET count = ?, hash = ?", (len(bodies), previous))


def cheaper(body):
    return json.loads(body) | {"event": {"kind": "NoOpDpEvent"}}


def test_what_nobody_changed_passes(store):
    with forging(store.path):
        pass
    assert_passes(store.path, store.head)


@pytest.mark.parametrize("seq", [1, 3, 5])
def test_a_deleted_entry_is_noticed(store, seq):
    with forging(store.path) as db:
        db.execute("DELETE FROM entries WHERE seq = ?", (seq,))
        db.execute("UPDATE head SET count = 4")
    assert_noticed(store.path)


@pytest.mark.parametrize("seq", [1, 3, 5])
def test_a_deleted_entry_is_noticed_after_the_rest_moved_up(store, seq):
    with forging(store.path) as db:
        db.execute("DELETE FROM entries WHERE seq = ?", (seq,))
        db.execute("UPDATE entries SET seq = seq - 1 WHERE seq > ?", (seq,))
        db.execute("UPDATE head SET count = 4")
    assert_noticed(store.path)


@pytest.mark.parametrize("seq", [1, 2, 5])
def test_an_entry_changed_together_with_its_hash_is_noticed(store, seq):
    """By the next entry, or by the head."""
    with forging(store.path) as db:
        (body,) = db.execute("SELECT body FROM entries WHERE seq = ?", (seq,)).fetchone()
        body = body_of(cheaper(body))
        values = (body, hash_of(body), seq)
        db.execute("UPDATE entries SET body = ?, hash = ? WHERE seq = ?", values)
    assert_noticed(store.path)


def test_two_entries_that_changed_places_are_noticed(store):
    with forging(store.path) as db:
        for there, here in ((4, -1), (5, 4), (-1, 5)):
            db.execute("UPDATE entries SET seq = ? WHERE seq = ?", (here, there))
    assert_noticed(store.path)


def test_a_lost_tail_is_noticed_only_with_an_anchor(store):
    anchor, first = store.head, store.entries()[2].hash
    with forging(store.path) as db:
        db.execute("DELETE FROM entries WHERE seq > 3")
        db.execute("UPDATE head SET count = 3, hash = ?", (first,))
    assert_passes(store.path)
    assert_passes(store.path, first)
    assert_noticed(store.path, anchor)


def test_a_copy_put_back_is_noticed_only_with_an_anchor(store, tmp_path):
    shutil.copy(store.path, tmp_path / "copy.db")
    (entry,) = store.append([charge()])
    shutil.copy(tmp_path / "copy.db", store.path)
    assert_passes(store.path)
    assert_noticed(store.path, entry.hash)
    Store(store.path).append([charge()])  # two continuations of one copy
    assert_passes(store.path)
    assert_noticed(store.path, entry.hash)


def test_a_chain_forged_from_the_start_is_noticed_only_with_an_anchor(store):
    anchor = store.entries()[0].hash
    with forging(store.path) as db:
        bodies = [
            body for (body,) in db.execute("SELECT body FROM entries ORDER BY seq").fetchall()
        ]
        write_chain(db, [cheaper(bodies[0]), *map(json.loads, bodies[1:])])
    assert_passes(store.path)
    assert_noticed(store.path, anchor)


@pytest.mark.parametrize("act", ["entries", "verify", "append"])
@pytest.mark.parametrize(
    "harm", ["cut", "cut and continued", "deleted", "emptied", "another ledger"]
)
def test_a_store_that_read_the_file_before_needs_no_anchor(store, tmp_path, act, harm):
    head = store.entries()[2].hash
    if harm.startswith("cut"):
        with forging(store.path) as db:
            db.execute("DELETE FROM entries WHERE seq > 3")
            db.execute("UPDATE head SET count = 3, hash = ?", (head,))
    if harm == "cut and continued":
        Store(store.path).append([charge() for _ in range(4)])
    if harm == "deleted":
        with forging(store.path) as db:
            db.execute("DELETE FROM entries WHERE seq = 5")
    if harm == "emptied":
        store.path.write_bytes(b"")
    if harm == "another ledger":
        other = Store(tmp_path / "other.db")
        other.append([charge() for _ in range(9)])
        shutil.copy(other.path, store.path)
    acts = {
        "entries": store.entries,
        "verify": store.verify,
        "append": lambda: store.append([charge()]),
    }
    with pytest.raises(LedgerTampered):
        acts[act]()


HARMS = {
    "an entry before the first": "INSERT INTO entries VALUES (0, '{}', '')",
    "an entry far before the first": f"INSERT INTO entries VALUES ({-(2**63)}, '{{}}', '')",
    "an entry twice": "INSERT INTO entries SELECT 6, body, hash FROM entries WHERE seq = 5",
    "a second head": "INSERT INTO head SELECT * FROM head",
    "no head": "DELETE FROM head",
    "another head": f"UPDATE head SET hash = '{GENESIS}'",
    "another count": "UPDATE head SET count = 4",
    "a count that is no number": "UPDATE head SET count = 'five'",
    "a body that is bytes": "UPDATE entries SET body = CAST(body AS BLOB) WHERE seq = 2",
    "a hash that is bytes": "UPDATE entries SET hash = CAST(hash AS BLOB) WHERE seq = 2",
    "a hash in capitals": "UPDATE entries SET hash = upper(hash) WHERE seq = 2",
    "a body that is no JSON": "UPDATE entries SET body = substr(body, 2) WHERE seq = 2",
    "a body that is no UTF-8": "UPDATE entries SET body = CAST(x'ff00' AS TEXT) WHERE seq = 2",
    "another table": "CREATE TABLE notes(text)",
    "an index": "CREATE INDEX quick ON entries(hash)",
    "a trigger": "CREATE TRIGGER hide AFTER INSERT ON entries BEGIN SELECT 1; END",
    "another version": "PRAGMA user_version=2",
    "another application": "PRAGMA application_id=7",
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_harm_is_noticed(store, harm):
    with forging(store.path) as db:
        db.execute(harm)
    assert_noticed(store.path)
    with pytest.raises(LedgerTampered):
        Store(store.path)


def test_a_ledger_without_its_triggers_is_noticed(store):
    with closing(sqlite3.connect(store.path)) as db:
        db.execute("DROP TRIGGER no_delete")
    assert_noticed(store.path)


def test_another_version_says_what_to_do(store):
    with closing(sqlite3.connect(store.path)) as db:
        db.execute("PRAGMA user_version=2")
    wanted = r"must be of version 1\. Found 2\. Read it with the privfl that wrote it"
    with pytest.raises(LedgerTampered, match=wanted):
        store.entries()


@pytest.mark.parametrize("content", [b"notes\n", b"SQLite format 3\0", b"x" * 9000])
def test_what_is_no_ledger_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "run.db"
    path.write_bytes(content)
    assert_noticed(path)
    assert path.read_bytes() == content


def test_a_database_of_somebody_else_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "run.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE notes(text)")
    content = path.read_bytes()
    assert_noticed(path)
    assert path.read_bytes() == content


# A chain that is sound, of entries that no ledger writes.

WRONG = {
    "a field is missing": lambda fields: fields.pop("count"),
    "a field is unknown": lambda fields: fields.update(note=""),
    "the kind is unknown": lambda fields: fields.update(kind="gift"),
    "the count is negative": lambda fields: fields.update(count=-5),
    "the delta is a word": lambda fields: fields.update(delta="small"),
    "the nonce is short": lambda fields: fields.update(nonce=""),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_an_entry_that_no_ledger_writes_is_noticed_in_a_sound_chain(store, wrong):
    with forging(store.path) as db:
        rows = db.execute("SELECT body FROM entries ORDER BY seq").fetchall()
        bodies = [json.loads(body) for (body,) in rows]
        wrong(bodies[0])
        write_chain(db, bodies)
    with pytest.raises(LedgerTampered, match="entry 1 is not what a ledger writes"):
        Store(store.path)


SPELLED = {
    "with spaces": lambda body: body.replace(":", ": ", 1),
    "with a key twice": lambda body: body[:-1] + ',"version":"0"}',
    "with another letter for a letter": lambda body: body.replace("clinic", "\\u0063linic"),
    "nested too deep": lambda body: body.replace('"pipeline":""', '"pipeline":' + "[" * 10**5),
    "a list": lambda body: "[]",
    "a number": lambda body: "1",
}


@pytest.mark.parametrize("spell", SPELLED.values(), ids=SPELLED)
def test_a_body_is_spelled_one_way_only(tmp_path, spell):
    store = Store(tmp_path / "run.db")
    (entry,) = store.append([charge()])
    body = spell(body_of(entry.fields))
    with forging(store.path) as db:
        db.execute("UPDATE entries SET body = ?, hash = ?", (body, hash_of(body)))
        db.execute("UPDATE head SET hash = ?", (hash_of(body),))
    with pytest.raises(LedgerTampered):
        Store(store.path)


def signed(key, by=None):
    public = (by or key).public_key().public_bytes_raw().hex()

    def draft(head):
        signature = key.sign(head.encode()).hex()
        return [{"kind": "signature", "key": public, "signature": signature}]

    return draft


def test_a_signature_is_checked_against_its_key_and_the_head_before_it(store):
    key = Ed25519PrivateKey.generate()
    store.append(signed(key))
    store.append([charge()])
    store.append(signed(key))
    assert Store(store.path).verify() == store.head


@pytest.mark.parametrize(
    "wrong",
    [
        lambda key: signed(key, by=Ed25519PrivateKey.generate()),
        lambda key: lambda head: signed(key)(GENESIS),
        lambda key: lambda head: [signed(key)(head)[0] | {"key": "ff" * 32}],
    ],
    ids=["of another key", "over another head", "of no key"],
)
def test_a_wrong_signature_is_noticed(store, wrong):
    store.append(wrong(Ed25519PrivateKey.generate()))
    with pytest.raises(LedgerTampered, match="the signature in entry 6 is not of its key"):
        store.verify()


@pytest.mark.parametrize("anchor", ["", "12", "G" * 64, 7])
def test_an_anchor_that_is_no_hash_is_a_mistake_and_no_tampering(store, anchor):
    with pytest.raises(ValueError, match="anchor must be 64 hex digits"):
        store.verify(anchor)


def test_every_head_there_was_is_an_anchor(store):
    for entry in store.entries():
        assert store.verify(entry.hash) == store.head
    assert store.verify(GENESIS) == store.head
