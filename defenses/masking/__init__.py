"""Secure aggregation by masks: the server learns a sum and no update.

>>> from privfl import Pipeline
>>> from privfl.defenses.dp import Clip
>>> from privfl.defenses.masking import SecAgg
>>> Pipeline(Clip(1.0), SecAgg()).plan(n_clients=10, dim=100).ring_bits
20
"""

from privfl.defenses.masking._secagg import SecAgg

__all__ = ["SecAgg"]
