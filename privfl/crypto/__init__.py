"""Cryptographic randomness, thin over the ``cryptography`` package.

>>> from privfl.crypto import Stream
>>> Stream().seeded                      # keyed by the operating system
False
>>> a, b = Stream.replay(7), Stream.replay(7)
>>> bool((a.normal((3,)) == b.normal((3,))).all()), a.seeded
(True, True)
"""

from privfl.crypto._stream import Stream

__all__ = ["Stream"]
