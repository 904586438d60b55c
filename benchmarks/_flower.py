"""What one client and the server of Flower's SecAgg+ do, by Flower's own functions.

The stages are called directly, without the messages around them, which costs Flower least. Nothing
here opens a connection; both switches below keep it that way.
"""

import os
from dataclasses import dataclass
from functools import cached_property

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"

import numpy as np
from _timing import seconds
from flwr.client.mod.secure_aggregation.secaggplus_mod import (
    SecAggPlusState,
    _collect_masked_vectors,
    _setup,
    _share_keys,
    _unmask,
)
from flwr.common import ndarray_to_bytes, ndarrays_to_parameters
from flwr.common.secure_aggregation.crypto.shamir import combine_shares, create_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import encrypt, generate_shared_key
from flwr.common.secure_aggregation.ndarrays_arithmetic import parameters_addition
from flwr.common.secure_aggregation.secaggplus_constants import Key
from flwr.common.secure_aggregation.secaggplus_utils import (
    pseudo_rand_gen,
    share_keys_plaintext_concat,
)
from flwr.supercore.primitives.asymmetric import bytes_to_private_key, bytes_to_public_key

RANGE = 2**32  # Flower's usual ring
SEED = bytes(range(43)) + b"="  # as long as its pairwise seeds, which are base64 text


def mask(vector: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> object:
    """Add one mask to a vector."""
    return parameters_addition([vector], pseudo_rand_gen(SEED, RANGE, [vector.shape]))


def upload_bytes(d: int) -> int:
    """Return the length of a masked vector."""
    return len(ndarray_to_bytes(np.zeros(d, np.int64)))


def fresh_client(who: int, shares: int, threshold: int) -> SecAggPlusState:
    """Return a client after the set-up stage."""
    state = SecAggPlusState(nid=who)
    numbers = {
        Key.SAMPLE_NUMBER: shares,
        Key.SHARE_NUMBER: shares,
        Key.THRESHOLD: threshold,
        Key.CLIPPING_RANGE: 8.0,
        Key.TARGET_RANGE: 2**22,
        Key.MOD_RANGE: RANGE,
        Key.MAX_WEIGHT: 1000.0,
    }
    _setup(state, numbers)
    return state


class KeyStage:
    """One client among ``shares`` of a complete graph, and the boxes that the others sent it."""

    def __init__(self, shares: int, threshold: int) -> None:
        self.clients = [fresh_client(who, shares, threshold) for who in range(shares)]
        self.me = self.clients[0]
        self.keys = {str(each.nid): (each.pk1, each.pk2) for each in self.clients}

    def share(self) -> None:
        """From the letter of public keys to boxes."""
        self.sent = _share_keys(self.me, self.keys)

    @property
    def box_bytes(self) -> int:
        """Length of one box."""
        return len(self.sent[Key.CIPHERTEXT_LIST][0])

    @cached_property
    def received(self) -> dict[str, list[bytes] | list[int]]:
        """Boxes of the right size from everybody else; what their shares say changes no time."""
        shares = self.me.rd_seed_share_dict[0], self.me.sk1_share_dict[0]
        boxes = [
            encrypt(_pair(peer.sk2, self.me.pk2), share_keys_plaintext_concat(peer.nid, 0, *shares))
            for peer in self.clients[1:]
        ]
        return {Key.CIPHERTEXT_LIST: boxes, Key.SOURCE_LIST: [c.nid for c in self.clients[1:]]}

    def rest(self) -> None:
        """Open the boxes, agree on the masks of one word, show the shares."""
        word = ndarrays_to_parameters([np.zeros(1)])
        _collect_masked_vectors(self.me, self.received, 1, word)
        everybody = [each.nid for each in self.clients]
        _unmask(self.me, {Key.ACTIVE_NODE_ID_LIST: everybody, Key.DEAD_NODE_ID_LIST: []})


@dataclass(frozen=True)
class Recovery:
    """Seconds that the server takes for one seed, one key of a lost client and one of its pairs."""

    seed: float
    key: float
    pair: float


def recovery(shares: int, threshold: int, left: int) -> Recovery:
    """Rebuild a self seed from the shares of those who are left.

    Its secrets are shared in chunks of 16 bytes, padded, each on its own: a key's time is that of a
    seed times its chunks over the seed's.
    """
    one, other = (fresh_client(who, shares, threshold) for who in range(2))
    seed = os.urandom(32)
    parts = create_shares(seed, threshold, shares)[:left]
    combining = min(seconds(lambda: combine_shares(parts)) for _ in range(3))
    pairs = [seconds(lambda: _pair(one.sk1, other.pk1)) for _ in range(50)]
    return Recovery(combining, combining * _chunks(one.sk1) / _chunks(seed), min(pairs))


def _pair(key: bytes, peer: bytes) -> bytes:
    return generate_shared_key(bytes_to_private_key(key), bytes_to_public_key(peer))


def _chunks(secret: bytes) -> int:
    return len(secret) // 16 + 1  # padded, by a whole chunk where the last one is full
