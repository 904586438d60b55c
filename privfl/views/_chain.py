"""Lines that hold on to each other: none can be changed, moved or taken out without a trace."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

GENESIS = "0" * 64


@dataclass(frozen=True)
class Link:
    """Hold one line of a chain as it was read.

    Attributes:
        line: its place in the file, from 1.
        fields: what it says, empty where it cannot be read.
        hash: what it says its hash is; the one of its text where it says none.
        broken: why it is no link, or nothing.
    """

    line: int
    fields: Mapping[str, object] = field(repr=False)
    hash: str
    broken: str = ""


def chained(entries: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """Write each entry as a line with its number, the hash of the line before, and its own.

    A line is a JSON object in one spelling: keys sorted, no spaces, ASCII. Its ``hash`` is the
    SHA-256 of the line as it would read without that field; ``previous``, which is in it, is the
    last line's.

    >>> first, second = chained([{"what": "a"}, {"what": "b"}])
    >>> json.loads(first)["hash"] == json.loads(second)["previous"]
    True
    """
    previous = GENESIS
    for number, entry in enumerate(entries, start=1):
        linked = {**entry, "line": number, "previous": previous}
        previous = _hash(linked)
        yield _spelled({**linked, "hash": previous})


def links(lines: Iterable[str]) -> Iterator[Link]:
    """Read lines back, and say of each whether it follows the last. One change breaks one link."""
    previous = GENESIS
    for number, text in enumerate(lines, start=1):
        link = _link(number, text.rstrip("\n"), previous)
        previous = link.hash
        yield link


def _link(number: int, text: str, previous: str) -> Link:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return Link(number, {}, hashlib.sha256(text.encode()).hexdigest(), "it is no JSON object")
    said = found.get("hash")
    bare = {key: value for key, value in found.items() if key != "hash"}
    broken = ""
    if (found.get("line"), found.get("previous")) != (number, previous):
        broken = "it does not follow the line before"
    if said != _hash(bare) or _spelled(found) != text:
        broken = "it was changed"
    return Link(number, bare, said if isinstance(said, str) else _hash(bare), broken)


def _hash(fields: Mapping[str, object]) -> str:
    return hashlib.sha256(_spelled(fields).encode()).hexdigest()


def _spelled(fields: Mapping[str, object]) -> str:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))
