"""Sealed boxes, against NIST's vectors for AES-GCM."""

import secrets

import pytest

from privfl.crypto import BOX_OVERHEAD, gcm, seal, unseal
from vectors_for_tests import vectors

KEY = secrets.token_bytes(32)


def published(path):
    """Those with the nonce and the tag that a box has."""
    usual = {"IVlen": "96", "Taglen": "128"}
    return [v for v in vectors(path) if usual.items() <= v.items()]


def fields(vector, *names):
    return [bytes.fromhex(vector[name]) for name in names]


@pytest.mark.parametrize("size", [128, 256])
def test_sealing_is_the_gcm_of_nist(size):
    tried = published(f"ciphers/AES/GCM/gcmEncryptExtIV{size}.rsp")
    assert len(tried) == 375
    assert any(vector["AAD"] and vector["PT"] for vector in tried)
    for vector in tried:
        made = gcm(*fields(vector, "Key", "IV", "PT", "AAD"))
        assert made.hex() == vector["CT"] + vector["Tag"]


@pytest.mark.parametrize("size", [128, 256])
def test_boxes_of_nist_open_and_its_forgeries_do_not(size):
    tried = published(f"ciphers/AES/GCM/gcmDecrypt{size}.rsp")
    assert len(tried) == 375
    assert 100 < sum("FAIL" in vector for vector in tried) < 275
    for vector in tried:
        key, nonce, text, tag, associated = fields(vector, "Key", "IV", "CT", "Tag", "AAD")
        box = nonce + text + tag
        if "FAIL" in vector:
            with pytest.raises(ValueError, match="does not open"):
                unseal(key, box, associated)
        else:
            assert unseal(key, box, associated).hex() == vector["PT"]


@pytest.mark.parametrize("n", [0, 1, 66, 1000])
def test_a_box_opens_and_is_28_bytes_longer(n):
    text = secrets.token_bytes(n)
    box = seal(KEY, text, b"3 to 5")
    assert unseal(KEY, box, b"3 to 5") == text
    assert len(box) - n == BOX_OVERHEAD == 28


def test_every_box_has_its_own_nonce():
    assert len({seal(KEY, b"share", b"")[:12] for _ in range(1000)}) == 1000


def test_any_changed_bit_of_a_box_keeps_it_shut():
    box = seal(KEY, b"share", b"3 to 5")
    for bit in range(8 * len(box)):
        forged = bytearray(box)
        forged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="does not open"):
            unseal(KEY, bytes(forged), b"3 to 5")


def test_all_failures_read_alike_and_show_nothing():
    text = b"a share of mine"
    box = seal(KEY, text, b"3 to 5")
    tries = [
        (bytes(32), box, b"3 to 5"),
        (KEY, box, b"3 to 6"),
        (KEY, box, b""),
        (KEY, box + b"\x00", b"3 to 5"),
        (KEY, box[1:], b"3 to 5"),
        *((KEY, box[:n], b"3 to 5") for n in range(len(box))),
    ]
    said = set()
    for args in tries:
        with pytest.raises(ValueError, match="does not open") as caught:
            unseal(*args)
        assert caught.value.__cause__ is None
        said.add(str(caught.value))
    assert said == {"The box does not open: it was changed, or is of another key or use."}


@pytest.mark.parametrize("n", [0, 15, 24, 31, 33])
def test_keys_and_nonces_of_another_length_are_refused_and_not_shown(n):
    for call in (lambda k: seal(k, b"", b""), lambda k: unseal(k, bytes(40), b"")):
        with pytest.raises(ValueError, match=rf"^key must be 16 or 32 bytes\. Found {n}\.$"):
            call(b"K" * n)
    with pytest.raises(ValueError, match=rf"^nonce must be 12 bytes\. Found {n}\.$"):
        gcm(KEY, bytes(n), b"", b"")
