"""Check a ledger of privfl, and its epsilon, without privfl: see docs/ledger_format.md.

python verify_ledger.py run.db [ANCHOR]
python verify_ledger.py run.db ANCHOR DELTA UNIT DATASET ADVERSARY RELATION

ANCHOR is a head kept elsewhere, or - for none; UNIT is record or client; ADVERSARY is server or
outsider; RELATION is zero-out, replace-one or add/remove. Signatures are not checked.
"""

import hashlib
import json
import math
import sqlite3
import sys
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path

GENESIS = "0" * 64
FORMAT = {"application_id": 0x7072666C, "user_version": 1, "journal_mode": "delete"}
SCHEMA = "5cd4b51c52b24d121a1fd978a943ec9bc80b3bb4b2d903d7f4e00ee33e9740e4"
NEAR = {
    "zero-out": "REPLACE_SPECIAL",
    "replace-one": "REPLACE_ONE",
    "add/remove": "ADD_OR_REMOVE_ONE",
}


def read(path, anchor=GENESIS):
    """Return entries and head of a ledger; a ValueError or sqlite3.Error says what was changed."""
    path = Path(path).resolve()
    want(not path.with_name(path.name + "-wal").exists(), "the file is in write-ahead mode")
    with closing(sqlite3.connect(path.as_uri() + "?mode=rw", uri=True)) as db:
        db.execute("BEGIN")
        for name, value in (FORMAT | {"integrity_check": "ok"}).items():
            want(db.execute(f"PRAGMA {name}").fetchall() == [(value,)], f"{name} is not {value}")
        made = db.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        want(sha256(json.dumps(made)) == SCHEMA, "the tables are others")
        rows = db.execute("SELECT seq, body, hash FROM entries ORDER BY seq").fetchall()
        heads = db.execute("SELECT count, hash FROM head").fetchall()
    entries, hashes = [], [GENESIS]
    for place, (seq, body, digest) in enumerate(rows, start=1):
        want(isinstance(body, str) and sha256(body) == digest, f"entry {place} was changed")
        entries.append(json.loads(body))
        link = (seq, entries[-1]["seq"], entries[-1]["previous"])
        want(link == (place, place, hashes[-1]), f"entry {place} does not follow the last")
        hashes.append(digest)
    want(heads == [(len(entries), hashes[-1])], "the head is not that of the last entry")
    want(anchor in hashes, "the anchor is not in the chain: entries are lost or written anew")
    return entries, hashes[-1]


def epsilon(entries, delta, unit, dataset, vantage, relation):
    """Return an upper bound on epsilon; infinity where it is above 100, or nothing is promised."""
    groups = [set(e["datasets"]) for e in entries if e["kind"] == "disjoint"]
    apart = {name for names in groups if dataset in names for name in names - {dataset}}
    releases = defaultdict(list)
    for entry in entries:
        if entry["kind"] == "charge" and entry["dataset"] not in apart:
            releases[entry["release"]].append(entry)
    kept = [row for rows in releases.values() for row in answer(rows, unit, set(vantage))]
    kept = [row for row in kept if row["event"]["kind"] != "NoOpDpEvent"]
    held = {row["relation"] for row in kept} - {""}
    want(relation != "add/remove" or held <= {relation}, f"charges are under {sorted(held)}")
    left = delta - sum(row["count"] * row["delta"] for row in kept)
    want(0 < left < 1, "the charged deltas leave nothing of delta")
    events = Counter()
    for row in kept:
        events[json.dumps(row["event"])] += row["count"]
    return bound(events, left, "replace-one" if "replace-one" in held else relation)


def answer(rows, unit, vantage):
    """Return the rows of one release that say what it tells somebody."""
    void = {"event": {"kind": "NonPrivateDpEvent"}, "count": 1, "delta": 0, "relation": ""}
    rows = [r for r in rows if vantage <= set(r["vantage"])] if all(map(private, rows)) else []
    rows = [r for r in rows if r["unit"] == unit] or [r for r in rows if unit == "record"]
    fewest = min((len(r["vantage"]) for r in rows), default=0)
    return [r for r in rows if len(r["vantage"]) == fewest] or [void]


def private(row):
    """Tell whether a row promises anything."""
    return row["event"]["kind"] != "NonPrivateDpEvent"


def bound(events, delta, relation):
    """Return epsilon by the privacy loss distribution; by Renyi DP for samples of a fixed size.

    The first doubles the distance under replace-one itself; the second does not, and gets half the
    noise. It also tells first whether the loss distribution would take hours to say nothing.
    """
    from dp_accounting import NeighboringRelation, pld, rdp

    fixed = any("WithoutReplacement" in event for event in events)
    renyi = fixed or any("RepeatAndSelect" in event for event in events)
    want(relation == "replace-one" or not fixed, "fixed-size sampling needs replace-one")
    near = NeighboringRelation[NEAR[relation]]
    rough = rdp.RdpAccountant(
        neighboring_relation=near if fixed else NeighboringRelation.REPLACE_SPECIAL
    )
    sharp = pld.PLDAccountant(neighboring_relation=near)
    for event, n in events.items():
        rough.compose(build(json.loads(event), 0.5 if relation == "replace-one" else 1.0), n)
    size = float(rough.get_epsilon(delta))
    if renyi or size > 100:
        return size if size <= 100 else math.inf
    for event, n in events.items():
        for _ in range(n if "RandomizedResponse" in event else 1):  # whose count is not counted
            sharp.compose(build(json.loads(event)), 1 if "RandomizedResponse" in event else n)
    return float(sharp.get_epsilon(delta))


def build(data, scale=1.0):
    """Return an event of dp_accounting, its noise times ``scale``."""
    import dp_accounting

    if isinstance(data, list):
        return [build(part, scale) for part in data]
    if not isinstance(data, dict):
        return data
    fields = {name: build(value, scale) for name, value in data.items() if name != "kind"}
    if "noise_multiplier" in fields:
        fields["noise_multiplier"] *= scale
    return getattr(dp_accounting.dp_event, data["kind"])(**fields)


def sha256(text):
    """Return the hash of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def want(condition, otherwise):
    """Raise a ValueError unless ``condition`` holds."""
    if not condition:
        raise ValueError(otherwise)


def main(path, anchor=GENESIS, delta=None, *question):
    """Check a file, and say what was asked."""
    entries, head = read(path, GENESIS if anchor == "-" else anchor)
    print(f"{len(entries)} entries, head {head}")
    if delta is not None:
        want(len(question) == 4, "a question has four words: unit, dataset, adversary, relation")
        unit, dataset, vantage, relation = question
        want(unit in ("record", "client"), f"unit must be record or client. Found {unit}.")
        want(vantage in ("server", "outsider"), f"adversary must be server or outsider: {vantage}")
        want(relation in NEAR, f"relation must be one of {', '.join(NEAR)}. Found {relation}.")
        parties = ["server"] * (vantage == "server")
        found = epsilon(entries, float(delta), unit, dataset, parties, relation)
        print(f"epsilon at most {found:.6g}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as why:
        sys.exit(f"{why}\n\n{__doc__}")
