"""By what a ledger knows a model again."""

import hashlib
from collections.abc import Mapping

from torch import Tensor

from privfl.core._encoding import encode


def weights_hash(weights: Mapping[str, Tensor]) -> bytes:
    """Hash weights by name, whatever their order and device: -> 32 bytes.

    >>> import torch
    >>> a, b = torch.ones(2), torch.zeros(2)
    >>> weights_hash({"a": a, "b": b}) == weights_hash({"b": b, "a": a})
    True
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(encode((name, weights[name].detach().cpu())))
    return digest.digest()
