"""Two parties, one secret: X25519, and HKDF to make keys of what comes out."""

from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from privfl.crypto._length import require_length

_LONGEST = 255 * 32  # HKDF counts its blocks of SHA-256 in one byte


def public_key(seed: bytes) -> bytes:
    """Map a private key (any 32 random bytes) to its public key (32 bytes).

    The private key of X25519 (RFC 7748, https://www.rfc-editor.org/rfc/rfc7748) *is* its seed, so
    32 bytes are all that has to be shared to make it recoverable.

    Raises:
        ValueError: if ``seed`` is not 32 bytes.

    >>> public_key(bytes(32)).hex()[:16]
    '2fe57da347cd6243'
    """
    return _private(seed).public_key().public_bytes_raw()


def agree(seed: bytes, peer: bytes) -> bytes:
    """Map one's own private key and the ``peer``'s public key to their common secret (32 bytes).

    The secret is a point of a curve and not uniform: make keys of it with ``derive``.

    Guarantees:
        - Both sides get the same secret.
        - A public key of low order, which gives everyone the secret zero, is refused.

    Raises:
        ValueError: if an argument is not 32 bytes, or ``peer`` is of low order.

    >>> a, b = bytes(32), bytes(31) + b"B"
    >>> agree(a, public_key(b)) == agree(b, public_key(a))
    True
    """
    require_length("peer", peer, 32)
    private = _private(seed)
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError:
        raise ValueError(
            "peer must be a public key that hides the secret. Found a point of low order, with "
            "which the secret is zero for everyone. Drop this peer."
        ) from None


def derive(secret: bytes, info: bytes, length: int = 32, *, salt: bytes = b"") -> bytes:
    """Map a common ``secret`` to ``length`` uniform bytes for the one purpose that ``info`` names.

    HKDF with SHA-256 (RFC 5869, https://www.rfc-editor.org/rfc/rfc5869). Different ``info`` gives
    independent keys: put in it everything the two sides must agree on.

    Raises:
        ValueError: if ``length`` is not from 1 to 8160.

    >>> derive(b"secret", b"masks") == derive(b"secret", b"shares")
    False
    """
    if not 0 < length <= _LONGEST:
        raise ValueError(f"length must be from 1 to {_LONGEST} bytes. Found {length}.")
    return HKDF(SHA256(), length, salt or None, info).derive(secret)


@lru_cache(maxsize=2)  # a client agrees with all its peers under one key, and then goes on
def _private(seed: bytes) -> X25519PrivateKey:
    require_length("seed", seed, 32)
    return X25519PrivateKey.from_private_bytes(seed)
