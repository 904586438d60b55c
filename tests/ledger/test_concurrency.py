"""Many writers, one file."""

import os
import sqlite3
import threading
from contextlib import closing

import pytest

from ledger.drafts import charge
from ledger.test_crash import run
from privfl.ledger import _database
from privfl.ledger._store import Store
from privfl.ledger._unavailable import LedgerUnavailable


def test_four_processes_get_ten_releases_through_a_budget_of_ten(tmp_path):
    said = run("race", tmp_path / "run.db", 10)
    assert said["entered"] == 10
    assert said["exit codes"] == [0, 0, 0, 0]
    store = Store(tmp_path / "run.db")
    store.verify()
    assert len(store.entries()) == 10


def test_asking_first_and_charging_afterwards_lets_more_through(tmp_path):
    """The positive control: each asks before any charges, so the third time all four pass at 8."""
    assert run("race-unlocked", tmp_path / "run.db", 10)["entered"] == 12


def test_threads_share_a_store(tmp_path):
    store = Store(tmp_path / "run.db")
    seen = []

    def work():
        for _ in range(5):
            seen.extend(store.append([charge(), charge()]))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.verify()
    assert sorted(seen, key=lambda entry: entry.seq) == list(store.entries())
    assert len(seen) == 60


def test_a_store_crosses_a_fork(tmp_path):
    store = Store(tmp_path / "run.db")
    store.append([charge(dataset="before")])
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for _ in range(10):
                store.append([charge(dataset="child")])
            status = 0
        finally:
            os._exit(status)
    for _ in range(10):
        store.append([charge(dataset="parent")])
    assert os.waitpid(child, 0)[1] == 0
    store.verify()
    names = [entry.fields["dataset"] for entry in store.entries()]
    assert sorted(names) == ["before"] + ["child"] * 10 + ["parent"] * 10


def test_two_stores_of_one_file_see_each_other(tmp_path):
    one, other = Store(tmp_path / "run.db"), Store(tmp_path / "run.db")
    first = one.append([charge()])
    second = other.append([charge()])
    assert one.entries() == other.entries() == first + second


def test_whoever_comes_second_finds_the_ledger_made(tmp_path, monkeypatch):
    """Two see that the file is empty; while one waits for the lock, the other makes the ledger."""
    path, connected = tmp_path / "run.db", _database._connected

    class Waiting:
        def __init__(self, *words):
            self.db = connected(*words)
            self.close = self.db.close

        def execute(self, statement):
            if statement == "BEGIN IMMEDIATE":
                monkeypatch.undo()
                Store(path).append([charge()])
            return self.db.execute(statement)

    monkeypatch.setattr(_database, "_connected", Waiting)
    assert len(Store(path).entries()) == 1


def test_a_lock_that_is_held_too_long_is_not_taken_for_tampering(tmp_path, monkeypatch):
    store = Store(tmp_path / "run.db")
    monkeypatch.setattr(_database, "PATIENCE", 0.05)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for act in (lambda: store.append([charge()]), store.entries, store.verify):
            with pytest.raises(LedgerUnavailable, match=r"locked\. Nothing was written"):
                act()
    assert store.entries() == ()


def test_a_reader_does_not_wait_for_a_check(tmp_path):
    """A check may take long; only other writers wait for it."""
    store, reader = Store(tmp_path / "run.db"), Store(tmp_path / "run.db")
    store.append([charge()], check=lambda entries: reader.verify())
    assert len(reader.entries()) == 1
