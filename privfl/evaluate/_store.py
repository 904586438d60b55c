"""Results in a folder, so that a duel goes on where it stopped."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from privfl.core import ProtocolAbort, State, decode, encode


@dataclass(frozen=True)
class Store:
    """Keep results under a hash of what they depend on. Without a folder nothing is kept.

    >>> Store(None).get("anything") is None
    True
    """

    folder: Path | None

    def get(self, key: str) -> State:
        """Return the result under ``key``, or None; a damaged file counts as none."""
        path = self._path(key)
        if path is None or not path.exists():
            return None
        try:
            return decode(path.read_bytes())
        except ProtocolAbort:
            return None

    def put(self, key: str, value: State) -> None:
        """Write a result whole or not at all."""
        path = self._path(key)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_bytes(encode(value))
        draft.replace(path)

    def _path(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{key}.cell"


def key_of(*parts: object) -> str:
    """Hash what a result depends on; each part must have a repr that says it all."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
