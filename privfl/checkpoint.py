"""Files that a federation goes on from."""

import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from privfl.core import ProtocolAbort, State, decode, encode, require

VERSION = 2  # of what is written below


def write_checkpoint(path: str | PathLike[str], state: Mapping[int | str, State]) -> None:
    """Write values to a file, whole or not at all: a file that is there is replaced at once."""
    path = Path(path)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.write(encode({"version": VERSION, **state}))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_checkpoint(path: str | PathLike[str]) -> Mapping[str, Any]:
    """Read what `write_checkpoint` wrote; nothing in the file is ever run.

    Raises:
        OSError: there is no such file.
        ValueError: it is no checkpoint, or one of another version.
    """
    try:
        state = decode(Path(path).read_bytes())
    except ProtocolAbort as error:
        raise ValueError(f"{path} is no checkpoint of a federation.") from error
    if not isinstance(state, Mapping) or "version" not in state:
        raise ValueError(f"{path} is no checkpoint of a federation.")
    kept: Mapping[Any, Any] = state
    wanted = f"{path} must be a checkpoint of version {VERSION}"
    require(kept["version"] == VERSION, wanted, kept["version"])
    return kept
