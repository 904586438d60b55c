"""Smaller messages, as wrappers.

`Quantize` sends fewer bits a coordinate, `RandomK` fewer coordinates; both fit where only a sum is
seen. `Rotate` makes coordinates alike in front of them. `TopK` chooses by the data, and remembers.

>>> from privfl import Pipeline
>>> from privfl.compression import Quantize, RandomK, Rotate
>>> from privfl.defenses.dp import Clip
>>> Pipeline(Clip(1.0), Quantize(8)).plan(n_clients=4, dim=10).levels
127
>>> before, after = Pipeline(Clip(1.0)), Pipeline(Clip(1.0), Rotate(), RandomK(100))
>>> [shield.plan(n_clients=4, dim=1000).bytes_up for shield in (before, after)]
[4114, 512]
"""

from privfl.compression._as_integers import as_integers
from privfl.compression._quantize import Quantize
from privfl.compression._random_k import RandomK
from privfl.compression._rotate import Rotate
from privfl.compression._top_k import TopK

__all__ = ["Quantize", "RandomK", "Rotate", "TopK", "as_integers"]
