"""Public keys of the clients, known out of band."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from privfl.core._check import require
from privfl.core._encoding import Party
from privfl.core._toml import is_name, key_in, name_in, require_only, tables_in, toml, write_whole
from privfl.crypto import verify


class Registry(Mapping[Party, bytes]):
    """Map each client to its public key (Ed25519, 32 bytes).

    This table decides who speaks in a client's name, so it comes from outside of the protocol: the
    operator collects the keys, and every client gets the same table.

    Guarantees:
        - Equal tables are equal, whatever their order, and none changes.
        - No two clients have the same key: a signature is that of one client.
        - ``Registry.read`` gives back what ``write`` wrote, or raises.

    >>> ours = Registry({"clinic-1": bytes(32), 7: bytes([1]) * 32})
    >>> ours.key_of(7).hex()[:6], "clinic-2" in ours, len(ours)
    ('010101', False, 2)
    """

    def __init__(self, keys: Mapping[Party, bytes]) -> None:
        """Copy ``keys``.

        Raises:
            ValueError: for a name that is neither a number nor a string, a key that is not 32
                bytes, or one key under two names.
        """
        holders: dict[bytes, Party] = {}
        for who, key in keys.items():
            require(is_name(who), "A client's name must be a number or a string", repr(who))
            found = f"{len(key)} bytes" if isinstance(key, bytes) else type(key).__name__
            require(found == "32 bytes", f"The key of client {who!r} must be 32 bytes", found)
            other = holders.setdefault(key, who)
            wanted = f"Client {who!r} must have a key of its own"
            require(other == who, wanted, f"that of client {other!r}", "Make one for each")
        self._keys = dict(keys)

    def key_of(self, who: Party) -> bytes:
        """Return the key of ``who``, or raise a ValueError that says what to do."""
        if who not in self._keys:
            raise ValueError(
                f"Client {who!r} is not in the registry. Add its key with `privfl keys register`."
            )
        return self._keys[who]

    def has_signed(self, who: Party, text: bytes, signature: bytes) -> bool:
        """Tell whether ``signature`` is one of ``who`` over ``text``; of a stranger none is.

        >>> Registry({}).has_signed(7, b"text", b"")
        False
        """
        return who in self._keys and verify(self._keys[who], text, signature)

    def but(self, who: Party, key: bytes) -> "Registry":
        """Return a registry in which ``who`` has ``key``; this one stays as it is.

        >>> Registry({}).but(7, bytes(32)) == Registry({7: bytes(32)})
        True
        """
        return Registry({**self._keys, who: key})

    @classmethod
    def read(cls, path: str | Path) -> "Registry":
        """Read a registry's file: TOML, a ``[[client]]`` each with ``name`` and ``ed25519``.

        Raises:
            ValueError: for what is no such file, with the entry that is at fault.
        """
        path = Path(path)
        keys: dict[Party, bytes] = {}
        for place, table in enumerate(tables_in(path, "client"), start=1):
            where = f"{path}, client {place}"
            require_only(where, table, "name", "ed25519")
            name = name_in(where, table)
            require(name not in keys, f"{where}: a name must be there once", repr(name))
            keys[name] = key_in(where, table, "ed25519")
        try:
            return cls(keys)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def write(self, path: str | Path) -> None:
        """Write the registry's file, whole or not at all: numbers first, then strings, sorted."""
        names = sorted(self._keys, key=lambda who: (isinstance(who, str), who))
        tables = [
            f'[[client]]\nname = {toml(who)}\ned25519 = "{self._keys[who].hex()}"\n'
            for who in names
        ]
        write_whole(Path(path), "\n".join(tables))

    def __getitem__(self, who: Party) -> bytes:
        """Return the key of ``who``, or raise a KeyError: see `key_of`."""
        return self._keys[who]

    def __iter__(self) -> Iterator[Party]:
        """Walk through the names."""
        return iter(self._keys)

    def __len__(self) -> int:
        """Count the clients."""
        return len(self._keys)

    def __hash__(self) -> int:
        """Hash the table, whatever its order."""
        return hash(frozenset(self._keys.items()))

    def __repr__(self) -> str:
        """Show how many there are."""
        return f"Registry({len(self)} clients)"
