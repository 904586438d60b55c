"""Published test vectors, as the package cryptography-vectors ships them."""

from collections.abc import Iterator
from pathlib import Path

import cryptography_vectors


def lines(path: str) -> Iterator[str]:
    text = (Path(cryptography_vectors.__file__).parent / path).read_text()
    return (line.strip() for line in text.splitlines())


def vectors(path: str) -> Iterator[dict[str, str]]:
    """The ``name = value`` lines from one COUNT to the next, with those of [brackets] above."""
    section: dict[str, str] = {}
    found: dict[str, str] = {}
    for line in lines(path):
        if line.startswith("["):
            key, _, value = line.strip("[]").partition(" = ")
            section = section | {key: value}
        elif line.upper().startswith("COUNT"):
            if found:
                yield found
            found = dict(section)
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[key.strip()] = value.strip()
    yield found
