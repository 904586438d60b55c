"""Randomness, keys, signatures, masks and shares, thin over the ``cryptography`` package.

Noise comes from a ``Stream``:

>>> from privfl.crypto import Stream
>>> Stream().seeded                      # keyed by the operating system
False
>>> a, b = Stream.replay(7), Stream.replay(7)
>>> bool((a.normal((3,)) == b.normal((3,))).all()), a.seeded
(True, True)

Two clients agree on a key by their public keys alone. One adds its key stream, the other subtracts
it: each masked word is uniform, and their sum is right (Bonawitz et al. 2017,
https://doi.org/10.1145/3133956.3133982, section 4):

>>> import secrets
>>> import numpy as np
>>> from privfl.crypto import agree, derive, masked, public_key, unpack
>>> ann, bob = secrets.token_bytes(32), secrets.token_bytes(32)
>>> key = derive(agree(ann, public_key(bob)), b"masks of session 1")
>>> key == derive(agree(bob, public_key(ann)), b"masks of session 1")
True
>>> sent = [
...     masked(np.array([1, 2], np.uint32), [(key, +1)], bits=20),
...     masked(np.array([30, 40], np.uint32), [(key, -1)], bits=20),
... ]
>>> (sum(unpack(each, 20, 2, np.uint32) for each in sent) % 2**20).tolist()
[31, 42]

Should one of them vanish, others rebuild its key from shares of its seed:

>>> from privfl.crypto import combine, split
>>> shares = split(int.from_bytes(ann), threshold=2, points=[1, 2, 3])
>>> combine({point: shares[point] for point in (2, 3)}) == int.from_bytes(ann)
True
"""

from privfl.crypto._box import BOX_OVERHEAD, gcm, seal, unseal
from privfl.crypto._identity import Identity, verify
from privfl.crypto._key_agreement import agree, derive, public_key
from privfl.crypto._masks import MaskKey, add_masks, masked
from privfl.crypto._packing import pack, packed_size, unpack, word_type
from privfl.crypto._shamir import (
    PRIME,
    SHARE_BYTES,
    combine,
    lagrange,
    share_from_bytes,
    share_to_bytes,
    split,
)
from privfl.crypto._stream import Stream

__all__ = [
    "BOX_OVERHEAD",
    "PRIME",
    "SHARE_BYTES",
    "Identity",
    "MaskKey",
    "Stream",
    "add_masks",
    "agree",
    "combine",
    "derive",
    "gcm",
    "lagrange",
    "masked",
    "pack",
    "packed_size",
    "public_key",
    "seal",
    "share_from_bytes",
    "share_to_bytes",
    "split",
    "unpack",
    "unseal",
    "verify",
    "word_type",
]
