"""Small TOML files: read as a table, written by hand, whole or not at all."""

import json
import os
import secrets
import tomllib
from pathlib import Path

from privfl.core._check import require
from privfl.core._encoding import Party


def toml(value: Party) -> str:
    r"""Write a number or a string as TOML.

    >>> print(toml(7), toml('a"b'), toml("\x7f"))
    7 "a\"b" "\u007f"
    """
    if isinstance(value, int):
        return str(value)
    # JSON's escapes are TOML's, but for the pairs that ASCII would need; TOML escapes DEL as well
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_toml(path: Path, text: bytes) -> dict[str, object]:
    """Read the ``text`` of a file; no error shows any of it."""
    try:
        return tomllib.loads(text.decode())
    except ValueError:  # no UTF-8, or no TOML
        raise ValueError(f"{path} must be TOML in UTF-8, and cannot be read as such.") from None


def tables_in(path: Path, name: str) -> list[dict[str, object]]:
    """Read a file that holds ``[[name]]`` tables and nothing else."""
    data = read_toml(path, path.read_bytes())
    require_only(str(path), data, name)
    tables = data.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ValueError(f"{path} must hold [[{name}]] tables. Found another kind of {name}.")
    return tables


def require_only(where: str, table: dict[str, object], *names: str) -> None:
    """Refuse what nobody would read: a name with a typing error."""
    strangers = ", ".join(repr(name) for name in sorted(table) if name not in names)
    require(not strangers, f"{where} must hold {' and '.join(names)} only", strangers)


def name_in(where: str, table: dict[str, object]) -> Party:
    """Return the name in a table of the file and place ``where``."""
    name = table.get("name")
    require(is_name(name), f"{where}: name must be a number or a string", repr(name))
    return name  # type: ignore[return-value]  # is_name has seen it


def key_in(where: str, table: dict[str, object], field: str) -> bytes:
    """Return the 32 bytes that ``field`` writes in hexadecimal; no error shows them."""
    text = table.get(field)
    wanted = f"{where}: {field} must be 64 hexadecimal digits in quotes"
    require(isinstance(text, str), wanted, "none" if text is None else type(text).__name__)
    try:
        key = bytes.fromhex(str(text))
    except ValueError:
        raise ValueError(f"{wanted}. Found other characters, or an odd number.") from None
    require(len(key) == 32 and len(str(text)) == 64, wanted, f"{len(str(text))} characters")
    return key


def is_name(name: object) -> bool:
    """Whether ``name`` can be a client's: a number, or a string that can be written as UTF-8.

    >>> is_name(7), is_name("clinic-1"), is_name(""), is_name(True), is_name(2.0)
    (True, True, False, False, False)
    """
    if isinstance(name, str):
        return name != "" and not any("\ud800" <= letter <= "\udfff" for letter in name)
    return isinstance(name, int) and not isinstance(name, bool)


def write_whole(path: Path, text: str) -> None:
    """Put ``text`` where ``path`` is; whoever reads finds the old file or the new one."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with draft.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # else a crash after the renaming can leave an empty file
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
