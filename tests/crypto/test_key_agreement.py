"""X25519 and HKDF through our own functions, against RFC 7748 and RFC 5869."""

import secrets

import pytest

from privfl.crypto import agree, derive, public_key
from vectors_for_tests import vectors

# RFC 7748, 6.1
ALICE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
ALICE_PUBLIC = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
BOB = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
BOB_PUBLIC = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
SHARED = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
# The u-coordinates of order 1, 2, 4 and 8, and their second spellings above 2^255 - 19.
LOW = [
    "00" * 32,
    "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def test_the_common_secrets_are_those_of_rfc_7748():
    tried = list(vectors("asymmetric/X25519/rfc7748.txt"))
    assert len(tried) == 3
    for vector in tried:
        scalar, u = (bytes.fromhex(vector[name]) for name in ("INPUT_SCALAR", "INPUT_U"))
        assert agree(scalar, u).hex() == vector["OUTPUT_U"]


def test_a_thousand_agreements_in_a_row_end_where_rfc_7748_says():
    k = u = bytes([9]) + bytes(31)
    for _ in range(1000):
        k, u = agree(k, u), k
    assert k.hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


def test_both_sides_of_rfc_7748_get_its_public_keys_and_its_secret():
    assert (public_key(ALICE).hex(), public_key(BOB).hex()) == (ALICE_PUBLIC, BOB_PUBLIC)
    assert agree(ALICE, public_key(BOB)).hex() == agree(BOB, public_key(ALICE)).hex() == SHARED


@pytest.mark.parametrize("point", LOW)
def test_a_peer_that_would_give_the_secret_zero_is_refused(point):
    seed = secrets.token_bytes(32)
    with pytest.raises(ValueError, match=r"low order.*Drop this peer") as caught:
        agree(seed, bytes.fromhex(point))
    assert seed.hex() not in str(caught.value)
    assert repr(seed) not in str(caught.value)


@pytest.mark.parametrize("n", [0, 31, 33, 64])
def test_keys_of_another_length_are_refused_and_not_shown(n):
    for call in (public_key, lambda x: agree(x, bytes(32)), lambda x: agree(bytes(32), x)):
        with pytest.raises(ValueError, match=rf"(seed|peer) must be 32 bytes\. Found {n}\.$"):
            call(b"S" * n)


def test_what_is_no_bytes_is_refused_by_its_type():
    with pytest.raises(ValueError, match=r"Found str\.$"):
        public_key("S" * 32)


def test_derived_keys_are_those_of_rfc_5869():
    tried = list(vectors("KDF/rfc-5869-HKDF-SHA256.txt"))
    assert len(tried) == 3
    for vector in tried:
        secret, salt, info = (bytes.fromhex(vector[name]) for name in ("IKM", "salt", "info"))
        assert derive(secret, info, int(vector["L"]), salt=salt).hex() == vector["OKM"]


def test_another_purpose_gives_another_key():
    keys = {derive(b"secret", info) for info in (b"", b"a", b"b", b"ab", b"a\x00")}
    assert len(keys) == 5
    assert {len(key) for key in keys} == {32}


@pytest.mark.parametrize("length", [-1, 0, 8161])
def test_a_length_that_hkdf_does_not_have_is_refused(length):
    assert len(derive(b"secret", b"info", 8160)) == 8160
    with pytest.raises(ValueError, match=rf"from 1 to 8160 bytes\. Found {length}"):
        derive(b"secret", b"info", length)
