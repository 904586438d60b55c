"""Ed25519 through our own class, against the vectors that RFC 8032 takes its own from."""

import copy
import pickle

import pytest

from privfl.crypto import Identity, verify
from privfl.crypto._identity import _verified
from vectors_for_tests import lines

# RFC 8032, 7.1: the public keys of its tests 1, 2, 3 and 1024
RFC = [
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
]
# RFC 8032, 7.1, SHA(abc), which the file does not have
ABC = {
    "seed": "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
    "public": "ec172b93ad5e563f4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
}


def published():
    """(seed, public, message, signature): the file has seed and public key in its first field."""
    for line in lines("asymmetric/Ed25519/sign.input"):
        key, public, message, signed = (bytes.fromhex(each) for each in line.split(":")[:4])
        yield key[:32], public, message, signed[:64]


def test_keys_and_signatures_are_those_of_rfc_8032():
    tried = list(published())
    assert len(tried) == 1024
    assert set(RFC) <= {public.hex() for _, public, _, _ in tried}
    for seed, public, message, signature in tried:
        me = Identity.of(seed)
        assert (me.public, me.sign(message)) == (public, signature)
        assert verify(public, message, signature)


def test_a_seed_from_a_file_gives_the_same_identity_and_a_new_one_is_new():
    me, other = Identity.new(), Identity.new()
    again = Identity.of(me.seed)
    assert (again.public, again.sign(b"m")) == (me.public, me.sign(b"m"))
    assert other.public != me.public


def test_any_changed_bit_of_key_message_or_signature_is_false():
    me = Identity.new()
    parts = [me.public, b"hello", me.sign(b"hello")]
    assert verify(*parts)
    for i, part in enumerate(parts):
        for bit in range(8 * len(part)):
            changed = bytearray(part)
            changed[bit // 8] ^= 1 << bit % 8
            assert not verify(*parts[:i], bytes(changed), *parts[i + 1 :])


def test_a_signature_has_one_form():
    """S + L passes the equation of a signature too; RFC 8032, 5.1.7 wants S below L."""
    me = Identity.new()
    signature = me.sign(b"hello")
    s = int.from_bytes(signature[32:], "little") + 2**252 + 27742317777372353535851937790883648493
    assert not verify(me.public, b"hello", signature[:32] + s.to_bytes(32, "little"))


@pytest.mark.parametrize(
    "bad", [b"", b"x", bytes(31), bytes(33), b"\xff" * 32, None, 7, "text", []]
)
def test_malformed_input_is_false_and_raises_nothing(bad):
    me = Identity.new()
    signature = me.sign(b"hello")
    assert not verify(bad, b"hello", signature)
    assert not verify(me.public, b"hello", bad)
    assert not verify(me.public, bad, signature)


def test_bytes_of_any_kind_are_verified():
    me = Identity.new()
    assert verify(bytearray(me.public), memoryview(b"hello"), bytearray(me.sign(b"hello")))


def test_one_signature_is_verified_once():
    me = Identity.new()
    signature = me.sign(b"hello")
    before = _verified.cache_info()
    assert all(verify(me.public, b"hello", signature) for _ in range(100))
    after = _verified.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 99)


def test_the_private_key_shows_nowhere():
    me = Identity.new()
    assert repr(me) == f"Identity({me.public.hex()[:8]}...)"
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            copied(me)


@pytest.mark.parametrize("n", [0, 31, 33])
def test_a_seed_of_another_length_is_refused_and_not_shown(n):
    with pytest.raises(ValueError, match=rf"^seed must be 32 bytes\. Found {n}\.$"):
        Identity.of(b"S" * n)
