"""Homomorphic aggregation: the server adds up ciphertexts, and clients open the sum.

`CKKS` adds real numbers to a stated precision, `BFV` adds integers exactly. Each is one word of a
pipeline, behind a clip:

>>> import torch
>>> from privfl import Pipeline
>>> from privfl.defenses.dp import Clip
>>> from privfl.defenses.he import CKKS
>>> shield = Pipeline(Clip(1.0), CKKS())
>>> plan = shield.plan(n_clients=10, dim=1_000_000)
>>> f"{plan.bytes_up / 1_000_000:.1f} bytes a parameter, off by {plan.error:.0e}"
'4.5 bytes a parameter, off by 3e-08'
>>> dict(shield.explain(n_clients=10, dim=1_000_000).sees)["the server"]
'ciphertexts'

Whoever is handed a result of CKKS without the key can compute the key from it. So the result stays
with the clients, unless ``published=`` floods it with noise for so many sums:

>>> published = Pipeline(Clip(1.0), CKKS(published=100)).plan(n_clients=10, dim=1_000_000)
>>> f"{published.bytes_up / 1_000_000:.1f} bytes a parameter, off by {published.error:.0e}"
'14.9 bytes a parameter, off by 1e-05'

`parameters` is the planner behind both, for numbers of your own:

>>> from privfl.defenses.he import parameters
>>> found = parameters(n_clients=100, clip_norm=1.0, bits=16, scheme="BFV")
>>> found.integers, found.integer_bits, f"{found.bytes_per_parameter:.2f}"
(2, 23, '3.75')
"""

from privfl.defenses.he._bfv import BFV
from privfl.defenses.he._ckks import CKKS
from privfl.defenses.he._parameters import Parameters
from privfl.defenses.he._planner import parameters

__all__ = ["BFV", "CKKS", "Parameters", "parameters"]
