"""`privfl keys new`, `register` and `list`."""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import hexdigits
from typing import TYPE_CHECKING, Annotated

import typer

from privfl.cli._app import AsJson, app, fail

if TYPE_CHECKING:
    from privfl.core import Party

keys_app = typer.Typer(
    no_args_is_help=True, help="Make a client's signing key, and keep the registry of public keys."
)
app.add_typer(keys_app, name="keys")

Name = Annotated[str, typer.Argument(help="The client's name; digits only make it a number.")]
File = Annotated[Path, typer.Argument(help="The registry's file.")]


@keys_app.command()
def new(
    name: Name,
    out: Annotated[
        Path | None, typer.Option(help="Write the secret key here. Else: NAME.identity.toml.")
    ] = None,
) -> None:
    """Make a client's key: the secret one in a file, the public one for the operator.

    Examples:
      privfl keys new clinic-1 --out clinic-1.identity.toml
    """
    from privfl.core import write_identity
    from privfl.crypto import Identity

    made, file = Identity.new(), out or Path(f"{name}.identity.toml")
    with _plainly():
        who = _party(name)
        write_identity(file, who, made)
    typer.echo(f"The secret key of {who!r} is in {file}: keep it where only this client can read.")
    typer.echo("Hand name and public key to the operator, who runs:")
    typer.echo(f"privfl keys register REGISTRY {shlex.quote(name)} {made.public.hex()}")


@keys_app.command()
def register(
    registry: File,
    name: Name,
    public_key: Annotated[str, typer.Argument(help="64 hexadecimal digits.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of another key of that name.")
    ] = False,
) -> None:
    """Add a client's public key to a registry; the file is made where there is none.

    Whoever decides what is in this file decides who is a client: take keys from people you know.

    Examples:
      privfl keys register registry.toml clinic-1 $(cat clinic-1.public)
    """
    from privfl.core import Registry, require

    with _plainly():
        who, key = _party(name), _key(public_key)
        known = Registry.read(registry) if registry.exists() else Registry({})
        same = known.get(who, key) == key
        wanted = f"The key of client {who!r} must be the one in {registry}"
        require(same or replace, wanted, "another", "Pass --replace if the client has a new one")
        known = known.but(who, key)
        known.write(registry)
    typer.echo(f"{registry} holds {_counted(len(known))}, {who!r} among them.")


@keys_app.command("list")
def list_keys(registry: File, as_json: AsJson = False) -> None:
    """List the names and public keys of a registry.

    Examples:
      privfl keys list registry.toml --json
    """
    from privfl.core import Registry

    if not registry.is_file():
        fail(f"{registry} is not there, or is no file.", code=2)
    with _plainly():
        known = Registry.read(registry)
    if as_json:
        rows = [{"name": who, "ed25519": key.hex()} for who, key in known.items()]
        typer.echo(json.dumps(rows, indent=1))
        return
    for who, key in known.items():
        typer.echo(f"{key.hex()}  {who!r}")
    typer.echo(_counted(len(known)))


@contextmanager
def _plainly() -> Iterator[None]:
    """Turn what goes wrong into one line and an exit code."""
    try:
        yield
    except (ValueError, OSError) as error:
        fail(str(error), code=2)


def _party(name: str) -> "Party":
    return int(name) if name.isascii() and name.isdigit() else name


def _key(text: str) -> bytes:
    from privfl.core import require

    digits = len(text) == 64 and all(letter in hexdigits for letter in text)
    require(digits, "A public key must be 64 hexadecimal digits", repr(text))
    return bytes.fromhex(text)


def _counted(n: int) -> str:
    return f"{n} client" if n == 1 else f"{n} clients"
