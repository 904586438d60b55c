"""A store of entries, when nobody does it any harm."""

import hashlib
import json
import os
import re
import sqlite3
import tempfile
import traceback
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import privfl
from ledger.drafts import ROOT, charge, disjoint
from privfl.ledger import _local, _store
from privfl.ledger._chain import GENESIS
from privfl.ledger._database import opened
from privfl.ledger._fields import EVERY, KINDS
from privfl.ledger._store import Store
from privfl.ledger._tampered import LedgerTampered
from privfl.ledger._unavailable import LedgerUnavailable


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "run.db")


def rows_of(path):
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT seq, body, hash FROM entries ORDER BY seq").fetchall()


def test_a_new_ledger_holds_nothing(store):
    assert store.entries() == ()
    assert store.head == store.verify() == GENESIS == "0" * 64


def test_an_empty_file_becomes_a_ledger(tmp_path):
    (tmp_path / "run.db").touch()
    assert Store(tmp_path / "run.db").verify() == GENESIS


def test_opening_a_ledger_again_keeps_it(store):
    written = store.append([charge(), disjoint("a", "b")])
    assert Store(store.path).entries() == written
    assert Store(str(store.path)).head == written[-1].hash


def test_a_relative_path_means_the_same_file_after_a_change_of_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store("run.db")
    monkeypatch.chdir("/")
    store.append([charge()])
    assert len(Store(tmp_path / "run.db").entries()) == 1


def test_names_that_mean_something_in_an_address_are_names(tmp_path):
    path = tmp_path / "50% of what? #1.db"
    Store(path).append([charge()])
    assert path.stat().st_size > 0
    assert len(Store(path).entries()) == 1


def test_an_entry_holds_the_draft_and_what_binds_it(store):
    drafts = [charge(vantage=["server", 3]), disjoint("b", "a")]
    drafts[0]["vantage"].sort(key=str)
    entries = store.append(drafts)
    previous = GENESIS
    for seq, (draft, entry) in enumerate(zip(drafts, entries, strict=True), start=1):
        added = {k: v for k, v in entry.fields.items() if k not in draft}
        assert added.keys() == {"seq", "previous", "nonce", "time", "version"}
        assert {k: entry.fields[k] for k in draft} == draft
        assert (entry.seq, added["seq"], added["previous"]) == (seq, seq, previous)
        assert added["version"] == privfl.__version__
        age = datetime.now(UTC) - datetime.fromisoformat(added["time"])
        assert timedelta(0) <= age < timedelta(minutes=1)
        previous = entry.hash


def test_the_file_holds_what_the_format_says(store):
    """``docs/ledger_format.md``, checked by hand."""
    entries = store.append([charge(pipeline="Pipeline(Clip(1.0)) ü"), disjoint("a", "b")])
    for entry, (seq, body, digest) in zip(entries, rows_of(store.path), strict=True):
        spelled = json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"))
        assert seq == entry.seq
        assert body == spelled
        assert body.isascii()
        assert digest == entry.hash == hashlib.sha256(body.encode()).hexdigest()
        assert json.loads(body) == entry.fields
    with closing(sqlite3.connect(store.path)) as db:
        assert db.execute("SELECT * FROM head").fetchall() == [(2, entries[-1].hash)]
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("PRAGMA application_id").fetchone() == (int.from_bytes(b"prfl", "big"),)


def test_equal_drafts_have_different_hashes(store):
    """Else the head would be a test of guesses at what was charged (rule R27)."""
    draft = charge()
    nonces = [entry.fields["nonce"] for entry in store.append([draft] * 5)]
    assert len(set(nonces)) == 5
    assert all(re.fullmatch("[0-9a-f]{64}", nonce) for nonce in nonces)


def test_floats_come_back_to_the_bit(store):
    for z in (0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 2.0**-30):
        event = {"kind": "GaussianDpEvent", "noise_multiplier": z}
        store.append([charge(event=event, delta=min(z, 1.0))])
        (fields,) = (entry.fields for entry in Store(store.path).entries()[-1:])
        assert fields["event"]["noise_multiplier"] == z
        assert fields["delta"] == min(z, 1.0)


def test_a_check_sees_all_before_it_and_can_refuse(store):
    first = store.append([charge()])
    shown = []

    def refuse(entries):
        shown.extend(entries)
        raise OverflowError("budget")

    with pytest.raises(OverflowError, match="budget"):
        store.append([charge(), charge()], check=refuse)
    assert tuple(shown) == first == store.entries() == Store(store.path).entries()


def test_drafts_can_be_made_from_the_head_they_follow(store):
    store.append([charge()])
    (entry,) = store.append(lambda head: [charge(pipeline=f"after {head}")])
    assert entry.fields["pipeline"] == f"after {entry.fields['previous']}"


def test_appending_nothing_changes_nothing(store):
    store.append([charge()])
    head = store.head
    assert store.append([]) == ()
    assert store.verify() == head


BAD = {
    "kind": [charge() | {"kind": "gift"}, charge() | {"kind": None}, {}],
    "Missing: dataset": [{k: v for k, v in charge().items() if k != "dataset"}],
    "Unknown: note": [charge(note="x")],
    "release": [charge(release="12"), charge(release="G" * 32)],
    "unit": [charge(unit="user"), charge(unit=["record"])],
    "dataset": [charge(dataset=""), charge(dataset=3)],
    "vantage": [charge(vantage="server"), charge(vantage=["server", 3]), charge(vantage=[None])],
    "relation": [charge(relation="adjacent")],
    "event": [charge(event="GaussianDpEvent(1.0)"), charge(event={})],
    "count": [charge(count=0), charge(count=1.0), charge(count=True), charge(count="1")],
    "delta": [charge(delta=-1e-9), charge(delta=float("nan")), charge(delta=2), charge(delta=None)],
    "n_units": [charge(n_units=-1)],
    "max_records": [charge(max_records=0), charge(max_records=2.5)],
    "provenance": [charge(provenance="guessed")],
    "pipeline": [charge(pipeline=None)],
    "datasets": [
        {"kind": "disjoint", "datasets": names}
        for names in (["b", "a"], ["a"], ["a", "a"], "ab", [1, 2], ["", "a"])
    ],
    "update": [{"kind": "release", "release": "0" * 32, "update": "0", "model": ""}],
    "signature": [{"kind": "signature", "key": "0" * 64, "signature": "0" * 127}],
    "JSON compliant": [charge(event={"kind": "GaussianDpEvent", "noise_multiplier": float("inf")})],
}


@pytest.mark.parametrize(
    ("word", "draft"), [(word, draft) for word, drafts in BAD.items() for draft in drafts]
)
def test_a_draft_that_is_malformed_is_refused_and_nothing_is_written(store, word, draft):
    with pytest.raises(ValueError, match=word):
        store.append([charge(), draft])
    assert store.entries() == Store(store.path).entries() == ()


def test_reading_again_reads_only_what_is_new(store, monkeypatch):
    store.append([charge() for _ in range(20)])
    read = []
    linked = _store.linked
    monkeypatch.setattr(_store, "linked", lambda *args: read.append(args[1]) or linked(*args))
    Store(store.path).append([charge()])
    read.clear()
    assert len(store.entries()) == 21
    assert read == [21]
    store.verify()
    assert read[1:] == list(range(1, 22))


def test_accidents_are_refused_by_the_file_itself(store):
    store.append([charge()])
    with closing(sqlite3.connect(store.path)) as db:
        for accident in ("UPDATE entries SET body = ''", "DELETE FROM entries"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(accident)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere is not there\. Make the folder first"):
        Store(tmp_path / "nowhere" / "run.db")


def test_a_folder_is_no_ledger(tmp_path):
    with pytest.raises(LedgerUnavailable, match="unable to open"):
        Store(tmp_path)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "fuse.sshfs", "glusterfs", "lustre"])
def test_a_network_file_system_is_refused(tmp_path, monkeypatch, kind):
    mounts = tmp_path / "mounts"
    folder = tmp_path / "far away"
    folder.mkdir()
    shown = str(folder).replace(" ", r"\040")
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nserver:/x {shown} {kind} rw 0 0\n")
    monkeypatch.setattr(_local, "MOUNTS", mounts)
    with pytest.raises(ValueError, match=f"must lie on a local disk.* on {kind}"):
        Store(folder / "run.db")
    assert list(folder.iterdir()) == []
    Store(tmp_path / "run.db")  # the folder above it is local


def test_the_mount_that_is_nearest_and_last_counts(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    lines = ["a / nfs rw 0 0", f"b {tmp_path} nfs rw 0 0", f"c {tmp_path} ext4 rw 0 0"]
    mounts.write_text("\n".join([*lines, f"d {tmp_path}2 nfs rw 0 0", "e / nfs rw 0 0\n"]))
    monkeypatch.setattr(_local, "MOUNTS", mounts)
    Store(tmp_path / "run.db")


def test_where_no_mounts_are_listed_nothing_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_local, "MOUNTS", tmp_path / "not there")
    Store(tmp_path / "run.db")


@pytest.fixture
def read_only():
    """A folder that anybody may read and nobody may write, not even below a private one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.db"
        Store(path).append([charge()])
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        yield path
        Path(folder).chmod(0o755)


def test_a_file_that_cannot_be_written_can_be_read(read_only):
    child = os.fork()
    if child == 0:
        os._exit(read_and_fail_to_write(read_only))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def read_and_fail_to_write(path):
    """Return 0 if all goes as it should."""
    try:
        if os.geteuid() == 0:
            os.setuid(65534)  # root may write anything
        store = Store(path)
        store.verify()
        assert len(store.entries()) == 1
    except BaseException:
        traceback.print_exc()
        return 1
    try:
        store.append([charge()])
    except LedgerUnavailable:
        return 0
    return 2


def test_a_full_disk_is_not_taken_for_tampering(store, monkeypatch):
    first = store.append([charge()])

    def small(path):
        db = opened(path)
        db.execute("PRAGMA max_page_count=4")
        return db

    monkeypatch.setattr(_store, "opened", small)
    with pytest.raises(LedgerUnavailable, match="full"):
        store.append([charge(pipeline="x" * 10_000)])
    assert store.verify() == first[-1].hash


def test_a_ledger_that_is_gone_is_noticed(store):
    store.append([charge()])
    store.path.unlink()
    for act in (store.entries, store.verify, lambda: store.append([charge()])):
        with pytest.raises(LedgerTampered, match=r"run\.db: the file is gone"):
            act()
    assert not store.path.exists()


def test_a_store_says_which_file_it_is(store):
    assert repr(store) == f"Store({str(store.path)!r})"


PAGE = (ROOT / "docs/ledger_format.md").read_text(encoding="utf-8")


def test_the_page_shows_the_tables_and_triggers(store):
    (block,) = re.findall(r"```sql\n(.*?)```", PAGE, flags=re.DOTALL)
    with closing(sqlite3.connect(store.path)) as db:
        made = [sql for (sql,) in db.execute("SELECT sql FROM sqlite_master")]
    assert sorted(block.splitlines()) == sorted(made)


def test_the_page_names_every_field():
    charge_and_common = set(re.findall(r"^\| `(\w+)`", PAGE, flags=re.MULTILINE))
    assert charge_and_common == set(EVERY) | set(KINDS["charge"])
    for kind, fields in KINDS.items():
        assert f"**`{kind}`**" in PAGE
        assert all(f"`{field}`" in PAGE for field in fields)
