"""Who says so: Ed25519 signatures."""

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from privfl.crypto._length import require_length


class Identity:
    """Sign messages under a long-lived key that others know by its public half.

    Ed25519 (RFC 8032, https://www.rfc-editor.org/rfc/rfc8032). The operator keeps ``seed`` in a
    file and hands ``public`` to the registry, outside of the protocol that it protects.

    Guarantees:
        - Equal seeds give equal keys and, message for message, equal signatures.
        - The private key shows in no repr and is not pickled.

    >>> me = Identity.of(bytes(32))
    >>> me, verify(me.public, b"hello", me.sign(b"hello"))
    (Identity(3b6a27bc...), True)
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        """Hold ``key``; call ``Identity.new()`` or ``Identity.of(seed)``."""
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    @classmethod
    def new(cls) -> "Identity":
        """Make an identity from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def of(cls, seed: bytes) -> "Identity":
        """Make the identity that ``seed`` (32 bytes) stands for."""
        require_length("seed", seed, 32)
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def seed(self) -> bytes:
        """The private key (32 bytes): who has it signs as this identity."""
        return self._key.private_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Map a ``message`` to its signature (64 bytes)."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        """Show the first digits of the public key."""
        return f"Identity({self.public.hex()[:8]}...)"

    def __reduce__(self) -> str:
        """Refuse to be pickled: the copy could sign."""
        raise TypeError("An Identity is not pickled: a copy could sign. Keep its seed in a file.")


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether ``signature`` is that of ``message`` under the key ``public``.

    Guarantees:
        - Malformed input is False and raises nothing: whatever arrives may be asked about.

    >>> verify(b"no key", b"hello", b"no signature")
    False
    """
    try:
        return _verified(*(bytes(memoryview(each)) for each in (public, message, signature)))
    except TypeError:  # not bytes at all
        return False


@lru_cache(maxsize=4096)  # in one process n clients verify the same n signatures: n^2 becomes n
def _verified(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
