"""A sealed box: only who has the key opens it, and only unchanged."""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privfl.crypto._length import require_length

_NONCE, _TAG = 12, 16
BOX_OVERHEAD = _NONCE + _TAG


def seal(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """Encrypt ``plaintext`` and bind it to ``associated``: -> nonce, ciphertext and tag.

    AES-GCM (NIST SP 800-38D) under a fresh random nonce of 12 bytes. The box is 28 bytes longer
    than its content. ``key`` has 16 or 32 bytes and seals at most 2^32 boxes: beyond that two
    nonces may meet. ``associated`` is not in the box: the reader must know it.

    Raises:
        ValueError: if ``key`` is not 16 or 32 bytes.

    >>> box = seal(bytes(32), b"a share", b"from 3 to 5")
    >>> len(box), unseal(bytes(32), box, b"from 3 to 5")
    (35, b'a share')
    """
    nonce = secrets.token_bytes(_NONCE)
    return nonce + gcm(key, nonce, plaintext, associated)


def unseal(key: bytes, box: bytes, associated: bytes) -> bytes:
    """Open what ``seal`` made with the same ``key`` and ``associated``: -> plaintext.

    Guarantees:
        - A box of another key, for other ``associated`` or with any bit changed does not open.

    Raises:
        ValueError: if the box does not open. All failures read alike.

    >>> unseal(bytes(32), seal(bytes(32), b"a share", b"from 3 to 5"), b"from 3 to 6")
    Traceback (most recent call last):
    ...
    ValueError: The box does not open: it was changed, or is of another key or use.
    """
    cipher = _cipher(key)
    try:
        if len(box) < BOX_OVERHEAD:
            raise InvalidTag
        return cipher.decrypt(box[:_NONCE], box[_NONCE:], associated)
    except InvalidTag:
        raise ValueError(
            "The box does not open: it was changed, or is of another key or use."
        ) from None


def gcm(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """Encrypt under a given ``nonce`` (12 bytes): -> ciphertext and tag (16 bytes).

    For published vectors. A nonce used twice with one key gives both plaintexts away: call
    ``seal``, which draws its own.
    """
    require_length("nonce", nonce, _NONCE)
    return _cipher(key).encrypt(nonce, plaintext, associated)


def _cipher(key: bytes) -> AESGCM:
    require_length("key", key, 16, 32)
    return AESGCM(key)
