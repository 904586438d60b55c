"""A writer that is killed: what left is in the ledger, and the ledger is sound."""

import json
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from itertools import combinations
from pathlib import Path

import pytest

from ledger.drafts import auditor, charge
from privfl.ledger._chain import GENESIS
from privfl.ledger._database import opened
from privfl.ledger._store import Store
from privfl.ledger._tampered import LedgerTampered

WRITERS = Path(__file__).with_name("writers.py")


def run(*words):
    """Let ``writers.py`` do something in a process of its own, and return what it says."""
    done = subprocess.run(
        [sys.executable, WRITERS, *map(str, words)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def kills(tmp_path_factory):
    return run("crash", tmp_path_factory.mktemp("crash"), 400)


def test_what_left_is_in_the_ledger_wherever_its_writer_was_killed(kills):
    assert kills["killed"] == 400
    assert kills["left but not there"] == 0


def test_a_release_is_there_whole_or_not_at_all(kills):
    assert kills["in part"] == 0


def test_many_were_killed_inside_a_transaction(kills):
    """Else the two above say nothing. Two in three leave a journal behind here."""
    assert kills["with a journal left"] > 40


def test_a_writer_that_charges_after_it_released_is_caught(tmp_path):
    """The positive control: the same kills, with the release told before it is charged."""
    assert run("crash-early", tmp_path, 100)["left but not there"] > 0


def test_a_writer_loads_nothing_heavy(kills):
    assert kills["heavy"] == []


def test_a_ledger_whose_maker_was_killed_can_be_made_again(tmp_path):
    said = run("crash-creating", tmp_path, 100)
    assert said["sound"] == said["killed"] == 100
    assert said["with a journal left"] > 0


def test_a_commit_waits_for_the_disk_and_for_the_folder(tmp_path):
    """A kill cannot show it: what a process wrote outlives the process, but not the power."""
    Store(tmp_path / "run.db")
    with closing(opened(tmp_path / "run.db")) as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (3,)  # EXTRA
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert db.execute("PRAGMA fullfsync").fetchone() == (1,)  # macOS: past the disk's cache


# Every state in which a transaction can be left, made by hand from before and after it.


def pages_of(data):
    size = int.from_bytes(data[16:18], "big")
    return [data[i : i + size] for i in range(0, len(data), size)] if data else []


def journal_of(before, after, nonce=0x5EED):
    """The rollback journal of a change, by https://www.sqlite.org/fileformat.html#rollbackjournal."""
    old, new = pages_of(before), pages_of(after)
    changed = [i for i, page in enumerate(old) if page != new[i]]
    size = len(new[0])
    magic = bytes.fromhex("d9d505f920a163d7")
    header = magic + struct.pack(">5I", len(changed), nonce, len(old), 512, size)
    records = [
        struct.pack(">I", i + 1) + old[i] + struct.pack(">I", checksum(old[i], nonce))
        for i in changed
    ]
    return header.ljust(512, b"\0") + b"".join(records)


def checksum(page, nonce):
    return (nonce + sum(page[i] for i in range(len(page) - 200, 0, -200))) % 2**32


def half_written(before, after):
    """Every mixture of the pages of ``before`` and ``after``."""
    old, new = pages_of(before), pages_of(after)
    changed = [i for i in range(len(new)) if i >= len(old) or old[i] != new[i]]
    for n in range(len(changed) + 1):
        for written in combinations(changed, n):
            pages = dict(enumerate(old)) | {i: new[i] for i in written}
            blank = bytes(len(new[0]))
            yield b"".join(pages.get(i, blank) for i in range(max(pages, default=-1) + 1))


@pytest.fixture
def two_states(tmp_path):
    """A ledger before and after an append that fills several pages."""
    path = tmp_path / "run.db"
    store = Store(path)
    store.append([charge(), charge()])
    before = path.read_bytes()
    entries = store.entries()
    store.append([charge() for _ in range(8)])
    return path, before, path.read_bytes(), entries


def test_a_transaction_that_was_not_finished_is_undone_whatever_was_written_of_it(two_states):
    path, before, after, entries = two_states
    journal = journal_of(before, after)
    states = list(half_written(before, after))
    assert len(states) >= 2**5
    for state in states:
        path.write_bytes(state)
        path.with_name("run.db-journal").write_bytes(journal)
        assert Store(path).entries() == entries
        assert path.read_bytes() == before
        assert not path.with_name("run.db-journal").exists()


def test_the_making_of_a_ledger_that_was_not_finished_is_undone_and_done_again(tmp_path):
    path = tmp_path / "run.db"
    Store(path)
    made = path.read_bytes()
    states = list(half_written(b"", made))
    assert len(states) == 2**3
    for state in states:
        path.write_bytes(state)
        path.with_name("run.db-journal").write_bytes(journal_of(b"", made))
        assert Store(path).verify() == GENESIS
        assert not path.with_name("run.db-journal").exists()


def test_without_its_journal_a_half_written_transaction_is_noticed(two_states):
    """The control: most of these states are broken, and no reader takes a broken one for whole."""
    path, before, after, entries = two_states
    read, whole = auditor().read, Store(path).entries()
    noticed = 0
    for state in half_written(before, after):
        path.write_bytes(state)
        try:
            found = Store(path).entries()
        except LedgerTampered:
            noticed += 1
            with pytest.raises((ValueError, sqlite3.Error)):
                read(path)
        else:  # pages that nothing points to yet
            assert found in (entries, whole)
    assert noticed > 2**4
