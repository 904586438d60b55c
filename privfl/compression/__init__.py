"""Smaller messages, as wrappers.

>>> from privfl import Pipeline
>>> from privfl.compression import Quantize
>>> from privfl.defenses.dp import Clip
>>> Pipeline(Clip(1.0), Quantize(8)).plan(n_clients=4, dim=10).levels
127
"""

from privfl.compression._as_integers import as_integers
from privfl.compression._quantize import Quantize

__all__ = ["Quantize", "as_integers"]
