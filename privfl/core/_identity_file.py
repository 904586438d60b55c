"""A client's name and secret key in a file that its owner alone can read."""

import os
from pathlib import Path
from stat import S_IMODE

from privfl.core._check import require
from privfl.core._encoding import Party
from privfl.core._toml import is_name, key_in, name_in, read_toml, require_only, toml
from privfl.crypto import Identity


def write_identity(path: str | Path, name: Party, identity: Identity) -> None:
    """Write ``name`` and the seed of ``identity`` to a new file, for its owner alone (mode 0600).

    Raises:
        ValueError: where there is a file: a key that is overwritten is lost.

    >>> write_identity("clinic-1.toml", "clinic-1", Identity.of(bytes(32)))
    >>> read_identity("clinic-1.toml")
    ('clinic-1', Identity(3b6a27bc...))
    """
    require(is_name(name), "A client's name must be a number or a string", repr(name))
    text = f'name = {toml(name)}\nsecret = "{identity.seed.hex()}"\n'
    try:
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
    except FileExistsError:
        raise ValueError(f"{path} is there already. Choose another file for the key.") from None
    with os.fdopen(made, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def read_identity(path: str | Path) -> tuple[Party, Identity]:
    """Read what `write_identity` wrote.

    Raises:
        ValueError: for a file that others can read, or that holds no name and key. No error shows
            the key.
    """
    path = Path(path)
    with path.open("rb") as file:
        mode, text = S_IMODE(os.fstat(file.fileno()).st_mode), file.read()
    wanted = f"{path} holds a secret key, so nobody but its owner may read or write it"
    fix = f"Run chmod 600 {path}, and make a new key if somebody else may have read this one"
    # elsewhere the mode does not tell who may read
    require(os.name != "posix" or not mode & 0o077, wanted, f"mode {mode:04o}", fix)
    table = read_toml(path, text)
    require_only(str(path), table, "name", "secret")
    return name_in(str(path), table), Identity.of(key_in(str(path), table, "secret"))
