"""Who has which key: the registry of public keys, and the file of a secret one."""

import os
import pickle
import tomllib
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privfl.core import Registry, read_identity, write_identity
from privfl.crypto import Identity

A, B = bytes(range(32)), bytes(range(1, 33))

names = st.integers() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
# a key of its own for each name
tables = st.sets(names).map(
    lambda whose: {who: sha256(repr(who).encode()).digest() for who in whose}
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("registry")


@given(tables)
def test_what_is_written_is_read_again(folder, table):
    file = folder / "registry.toml"
    Registry(table).write(file)
    assert Registry.read(file) == Registry(table)


@given(tables)
def test_the_order_of_a_table_shows_in_nothing(folder, table):
    one, two = Registry(table), Registry(dict(reversed(table.items())))
    one.write(folder / "one.toml")
    two.write(folder / "two.toml")
    assert (folder / "one.toml").read_bytes() == (folder / "two.toml").read_bytes()
    assert one == two
    assert hash(one) == hash(two)


def test_a_file_is_what_an_operator_would_write(tmp_path):
    file = tmp_path / "registry.toml"
    Registry({"b": B, 7: A}).write(file)
    assert tomllib.loads(file.read_text()) == {
        "client": [{"name": 7, "ed25519": A.hex()}, {"name": "b", "ed25519": B.hex()}]
    }
    assert os.listdir(tmp_path) == ["registry.toml"]


def test_numbers_come_first_and_by_size(tmp_path):
    file = tmp_path / "registry.toml"
    Registry({who: sha256(repr(who).encode()).digest() for who in ("b", "10", 10, 9)}).write(file)
    assert list(Registry.read(file)) == [9, 10, "10", "b"]


def test_a_file_of_nobody_is_a_registry_of_nobody(tmp_path):
    (tmp_path / "empty.toml").write_text("# nobody yet\n")
    assert len(Registry.read(tmp_path / "empty.toml")) == 0


def test_a_registry_is_a_table_that_does_not_change():
    mine = {"a": A}
    registry = Registry(mine)
    mine["b"] = B
    assert dict(registry) == {"a": A}
    assert registry["a"] == registry.key_of("a") == A
    assert "b" not in registry
    assert list(registry) == ["a"]
    changed = registry.but("a", B).but(7, A)
    assert dict(changed) == {"a": B, 7: A}
    assert dict(registry) == {"a": A}
    assert changed != registry
    with pytest.raises(TypeError):
        registry["a"] = B
    assert pickle.loads(pickle.dumps(registry)) == registry


def test_a_stranger_has_no_key():
    with pytest.raises(ValueError, match=r"Client .x. is not in the registry\. Add its key"):
        Registry({"a": A}).key_of("x")
    with pytest.raises(ValueError, match="Client 7 is not in the registry"):
        Registry({"7": A}).key_of(7)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"a": A[:-1]}, "The key of client 'a' must be 32 bytes. Found 31 bytes"),
        ({"a": A.hex()}, "The key of client 'a' must be 32 bytes. Found str"),
        ({"a": A, "b": A}, "Client 'b' must have a key of its own. Found that of client 'a'"),
        ({True: A}, "must be a number or a string. Found True"),
        ({"": A}, "must be a number or a string. Found ''"),
        ({"\ud800": A}, "must be a number or a string"),
        ({2.0: A}, "must be a number or a string. Found 2.0"),
    ],
)
def test_a_table_that_is_none_is_refused(keys, text):
    with pytest.raises(ValueError, match=text):
        Registry(keys)


def entry(name, key):
    return f"[[client]]\nname = {name}\ned25519 = {key}\n"


GOOD = entry('"a"', f'"{A.hex()}"')


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("client = 1", "must hold .*client.* tables"),
        ("client = [1]", "must hold .*client.* tables"),
        ("[client]\nname = 1", "must hold .*client.* tables"),
        ("what is this", "must be TOML"),
        ("\ufeff[[client]]".encode("utf-16"), "must be TOML in UTF-8"),
        (GOOD + "[[clients]]\nname = 1", "must hold client only. Found 'clients'"),
        (GOOD + entry("true", f'"{B.hex()}"'), "client 2: name must be .*Found True"),
        (GOOD + f'[[client]]\ned25519 = "{B.hex()}"', "client 2: name must be .*Found None"),
        (GOOD + "[[client]]\nname = 1", "client 2: ed25519 must be .*Found none"),
        (GOOD + entry("1", "5"), "client 2: ed25519 must be .*Found int"),
        (GOOD + entry("1", f'"{B.hex()[:-2]}"'), "client 2: ed25519 .*Found 62 characters"),
        (GOOD + entry("1", f'"{B.hex()[:-1]}"'), "client 2: ed25519 must be 64"),
        (GOOD + entry("1", f'"{B.hex()[:-1]}g"'), "client 2: ed25519 .*Found other characters"),
        (GOOD + entry("1", f'"{B.hex()} "'), "client 2: ed25519 .*Found 65 characters"),
        (
            GOOD + entry("1", f'"{B.hex()}"') + "note = 1",
            "client 2 must hold name and ed25519 only",
        ),
        (GOOD + entry('"a"', f'"{B.hex()}"'), "client 2: a name must be there once. Found 'a'"),
        (GOOD + entry("1", f'"{A.hex()}"'), "Client 1 must have a key of its own"),
    ],
)
def test_a_file_that_is_none_is_refused_by_file_and_entry(tmp_path, text, fault):
    file = tmp_path / "registry.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=fault) as refused:
        Registry.read(file)
    assert str(file) in str(refused.value)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "registry.toml"
    Registry({"a": A}).write(file)

    def full(_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        Registry({"a": B}).write(file)
    assert Registry.read(file) == Registry({"a": A})
    assert os.listdir(tmp_path) == ["registry.toml"]


# the secret half


@pytest.mark.parametrize("name", [7, "clinic-1", 'Städtisches "Haus"\n\x7f'])
def test_an_identity_is_read_again_under_its_name(tmp_path, name):
    mine = Identity.new()
    write_identity(tmp_path / "me.toml", name, mine)
    who, read = read_identity(tmp_path / "me.toml")
    assert (who, read.seed) == (name, mine.seed)


def test_the_file_of_an_identity_is_its_owners_alone_and_is_not_overwritten(tmp_path):
    file, mine = tmp_path / "me.toml", Identity.new()
    before = os.umask(0)  # the widest: the mode must not come from it
    try:
        write_identity(file, 1, mine)
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ValueError, match=r"me.toml is there already. Choose another file"):
        write_identity(file, 2, Identity.new())
    assert read_identity(file)[1].seed == mine.seed


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_secret_that_others_can_read_or_write_is_refused(tmp_path, mode):
    file = tmp_path / "me.toml"
    write_identity(file, 1, Identity.new())
    file.chmod(mode)
    with pytest.raises(ValueError, match=f"Found mode {mode:04o}. Run chmod 600 ") as refused:
        read_identity(file)
    assert str(file) in str(refused.value)
    file.chmod(0o400)
    assert read_identity(file)[0] == 1


SECRET = "5e" * 31


@pytest.mark.parametrize(
    "text",
    [
        f'name = 1\nsecret = "{SECRET}"',
        f'name = 1\nsecret = "{SECRET}zz"',
        f'name = 1\nsecret = ["{SECRET}"]',
        f'name = 1\nsecret = "{SECRET}00"\nother = 1',
        f'name = 1.5\nsecret = "{SECRET}00"',
        f"name = 1\nsecret = {SECRET}",
        f'secret = "{SECRET}00"',
        "",
    ],
)
def test_no_error_shows_a_secret(tmp_path, text):
    file = tmp_path / "me.toml"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(ValueError, match=r"me\.toml") as refused:
        read_identity(file)
    error = refused.value
    while error is not None:
        assert "5e5e" not in f"{error!r} {error.__dict__}"
        error = error.__cause__
