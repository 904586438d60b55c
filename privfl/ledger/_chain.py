"""How an entry is bound to the one before it."""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module

from privfl.ledger._entry import Entry
from privfl.ledger._fields import require_fields
from privfl.ledger._tampered import LedgerTampered

GENESIS = "0" * 64  # what the first entry has for the hash of the one before it


def head_of(entries: Sequence[Entry]) -> str:
    """Return the hash of the last entry; that of the genesis where there is none."""
    return entries[-1].hash if entries else GENESIS


def body_of(fields: Mapping[str, object]) -> str:
    """Return ``fields`` as JSON in the one spelling that is hashed."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)


def hash_of(body: str) -> str:
    """Return the SHA-256 of a body, in hex."""
    return hashlib.sha256(body.encode("ascii")).hexdigest()


def followed(seq: int, previous: str, draft: Mapping[str, object]) -> Entry:
    """Return the entry with the fields of ``draft`` that follows one with the hash ``previous``.

    A fresh nonce keeps the hash, which is published, from being a test of guesses (rule R27).

    Raises:
        ValueError: a field is missing, unknown or malformed.
    """
    fields = {
        **draft,
        "seq": seq,
        "previous": previous,
        "nonce": secrets.token_hex(32),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": str(import_module("privfl").__version__),  # the front door lies further out
    }
    require_fields(fields)
    body = body_of(fields)
    return Entry(seq, hash_of(body), json.loads(body))


def linked(row: Sequence[object], seq: int, previous: str) -> Entry:
    """Return the entry that a row ``(seq, body, hash)`` holds, if it follows ``previous``.

    Raises:
        LedgerTampered: it does not, or is not what `followed` writes.
    """
    number, body, digest = row
    if type(number) is not int or not isinstance(body, str) or not isinstance(digest, str):
        raise LedgerTampered(f"entry {seq} is of the wrong type")
    try:
        fields = json.loads(body)
        intact = hash_of(body) == digest and body_of(fields) == body
        require_fields(fields)
    except (ValueError, RecursionError) as why:
        raise LedgerTampered(f"entry {seq} is not what a ledger writes: {why}") from None
    if not intact:
        raise LedgerTampered(f"entry {seq} was changed: its hash is another")
    if (number, fields["seq"], fields["previous"]) != (seq, seq, previous):
        raise LedgerTampered(f"entry {seq} does not follow entry {seq - 1}")
    return Entry(seq, digest, fields)
