"""`privfl keys` makes identities and keeps the registry."""

import json

import pytest
from typer.testing import CliRunner

from privfl.cli import app
from privfl.core import Registry, read_identity

A, B = "ab" * 32, "cd" * 32


def run(*words):
    return CliRunner().invoke(app, ["keys", *map(str, words)])


@pytest.fixture
def registry(tmp_path):
    return tmp_path / "registry.toml"


@pytest.mark.parametrize(("word", "name"), [("clinic-1", "clinic-1"), ("7", 7), ("7a", "7a")])
def test_a_new_key_can_be_registered_as_is_printed(tmp_path, monkeypatch, registry, word, name):
    monkeypatch.chdir(tmp_path)
    done = run("new", word)
    assert done.exit_code == 0
    who, mine = read_identity(f"{word}.identity.toml")
    assert who == name
    assert mine.seed.hex() not in done.output
    _, _, command, _, printed_name, printed_key = done.output.splitlines()[-1].split()
    assert (command, printed_name, printed_key) == ("register", word, mine.public.hex())
    assert run("register", registry, printed_name, printed_key).exit_code == 0
    assert dict(Registry.read(registry)) == {name: mine.public}


def test_a_key_is_never_overwritten(tmp_path):
    file = tmp_path / "mine.toml"
    assert run("new", "a", "--out", file).exit_code == 0
    before = file.read_bytes()
    again = run("new", "b", "--out", file)
    assert again.exit_code == 2
    assert "is there already" in again.output
    assert file.read_bytes() == before


def test_every_new_key_is_another(tmp_path):
    for k in range(3):
        run("new", k, "--out", tmp_path / f"{k}.toml")
    seeds = {read_identity(tmp_path / f"{k}.toml")[1].seed for k in range(3)}
    assert len(seeds) == 3


def test_registering_adds_and_replaces_only_on_request(registry):
    assert "1 client, 7 among them" in run("register", registry, 7, A).output
    assert run("register", registry, 7, A).exit_code == 0  # the same again is no change
    refused = run("register", registry, 7, B)
    assert refused.exit_code == 2
    assert "--replace" in refused.output
    assert dict(Registry.read(registry)) == {7: bytes.fromhex(A)}
    assert run("register", registry, 7, B, "--replace").exit_code == 0
    assert run("register", registry, "x", A).exit_code == 0
    assert dict(Registry.read(registry)) == {7: bytes.fromhex(B), "x": bytes.fromhex(A)}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("y", A), "must have a key of its own"),
        (("y", A, "--replace"), "must have a key of its own"),
        (("y", A[:-2]), "64 hexadecimal digits"),
        (("y", A[:-1] + "g"), "64 hexadecimal digits"),
        (("y", A[:-2] + "  "), "64 hexadecimal digits"),
        (("", B), "must be a number or a string"),
    ],
)
def test_what_is_no_key_changes_no_registry(registry, words, text):
    run("register", registry, "x", A)
    before = registry.read_bytes()
    done = run("register", registry, *words)
    assert done.exit_code == 2
    assert text in done.output
    assert registry.read_bytes() == before


def test_a_file_that_is_no_registry_is_left_as_it_is(registry):
    registry.write_text("hello")
    for words in (("register", registry, "x", A), ("list", registry)):
        done = run(*words)
        assert done.exit_code == 2
        assert "must be TOML" in done.output
        assert "Traceback" not in done.output
    assert registry.read_text() == "hello"


def test_a_list_shows_every_name_and_key(registry):
    run("register", registry, 7, A)
    run("register", registry, "x", B)
    assert run("list", registry).output.splitlines() == [f"{A}  7", f"{B}  'x'", "2 clients"]
    rows = json.loads(run("list", registry, "--json").stdout)
    assert rows == [{"name": 7, "ed25519": A}, {"name": "x", "ed25519": B}]


def test_without_a_registry_nothing_is_listed(registry):
    done = run("list", registry)
    assert done.exit_code == 2
    assert "registry.toml is not there" in done.output


def test_help_says_what_a_name_is():
    for command in ("new", "register"):
        assert "digits only" in " ".join(run(command, "--help").output.split())
