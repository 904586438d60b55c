"""Writers to kill and writers that race, in a process that has loaded nothing heavy.

    python writers.py crash|crash-early|crash-creating FOLDER KILLS
    python writers.py race|race-unlocked FILE LIMIT

Prints what happened as JSON.
"""

import json
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from privfl.ledger._store import Store

sys.path.insert(0, str(Path(__file__).parents[1]))
from ledger.drafts import charge

GO = b"+" * 32  # from here on a writer may be killed
ROWS = 3  # of one release: several clients' datasets


def release_after_release(store, out, early):
    """Charge, and tell once the charge is written; ``early`` tells before, as it must not."""
    while True:
        rows = [charge(dataset=f"clinic-{i}", vantage=[]) for i in range(ROWS)]
        for row in rows:
            row["release"] = rows[0]["release"]
        if early:
            os.write(out, rows[0]["release"].encode())
        store.append(rows)
        if not early:
            os.write(out, rows[0]["release"].encode())


def charging(path, out, early):
    store = Store(path)
    os.write(out, GO)
    release_after_release(store, out, early)


def creating(path, out):
    os.write(out, GO)
    Store(path)


def kill_one(act, delay):
    """Fork ``act(pipe)``, kill it so many seconds after its `GO`, and return the releases left."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(out)
            act(into)
        finally:
            os._exit(1)
    os.close(into)
    os.read(out, len(GO))
    end = time.perf_counter() + delay
    while time.perf_counter() < end:  # a sleep would be as long as a whole transaction
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with open(out, "rb") as left:
        text = left.read().decode()
    return [text[i : i + 32] for i in range(0, len(text), 32)]


def crash(folder, kills, early):
    said = Counter()
    left = set()
    for n in range(kills):
        if n % 50 == 0:  # a fresh ledger now and then, as verifying a long one takes longer
            path, left = Path(folder) / f"{n}.db", set()
            Store(path)
        # Tiny steps through one transaction, which takes about a millisecond, or through several.
        delay = (n % 100) * 2e-5 if n % 2 else (n % 100) * 5e-5
        left |= set(kill_one(lambda out, path=path: charging(path, out, early), delay))
        said["killed"] += 1
        said["with a journal left"] += Path(f"{path}-journal").exists()
        store = Store(path)
        store.verify()
        rows = Counter(entry.fields["release"] for entry in store.entries())
        said["left but not there"] += len(left - set(rows))
        said["in part"] += sum(count != ROWS for count in rows.values())
        said["there but never left"] += len(set(rows) - left)
        left |= set(rows)  # counted once
    said["left"] = len(left)
    return said


def crash_creating(folder, kills):
    said = Counter()
    for n in range(kills):
        path = Path(folder) / f"{n}.db"
        kill_one(lambda out, path=path: creating(path, out), (n % 100) * 3e-5)
        said["killed"] += 1
        said["missing"] += not path.exists()
        said["with a journal left"] += Path(f"{path}-journal").exists()
        said["sound"] += Store(path).verify() == "0" * 64
    return said


class Full(Exception):
    pass


def refuse_at(limit):
    def check(entries):
        time.sleep(0.002)  # time for the others to get in between, if they can
        if len(entries) >= limit:
            raise Full

    return check


def race(path, limit, start, entered):
    """Charge until it is refused; they race to make the file too."""
    start.wait()
    store, check = Store(path), refuse_at(limit)
    try:
        while True:
            store.append([charge()], check)
            entered.put(os.getpid())
            time.sleep(0.01)  # the lock goes to whoever asks first: let others ask
    except Full:
        pass


def race_unlocked(path, limit, together, entered):
    """Ask first and charge afterwards, as one must not: each asks before anybody charges."""
    store, check = Store(path), refuse_at(limit)
    try:
        while True:
            together.wait()
            check(store.entries())
            together.wait()
            store.append([charge()])
            entered.put(os.getpid())
    except Full:
        pass


def run_race(racer, path, limit, n_processes=4):
    fork = multiprocessing.get_context("fork")
    barrier, entered = fork.Barrier(n_processes), fork.SimpleQueue()
    processes = [
        fork.Process(target=racer, args=(path, limit, barrier, entered)) for _ in range(n_processes)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    got = []
    while not entered.empty():
        got.append(entered.get())
    codes = [process.exitcode for process in processes]
    return {"entered": len(got), "processes": len(set(got)), "exit codes": codes}


def main(what, path, number):
    modes = {
        "crash": lambda: crash(path, number, early=False),
        "crash-early": lambda: crash(path, number, early=True),
        "crash-creating": lambda: crash_creating(path, number),
        "race": lambda: run_race(race, path, number),
        "race-unlocked": lambda: run_race(race_unlocked, path, number),
    }
    said = dict(modes[what]())
    tops = {name.partition(".")[0] for name in sys.modules}
    said["heavy"] = sorted(tops & {"torch", "numpy", "scipy", "dp_accounting", "attr"})
    print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
