"""Ciphertexts that add up: ring learning with errors as Microsoft SEAL computes it.

SEAL comes inside the package ``tenseal``; here its objects go in and out as words of numpy, so that
nothing that travelled is ever read by SEAL's own parser: the reader checks each word and writes
the file that SEAL loads by itself.

>>> import numpy as np
>>> from privfl.lattice import Ring, RunningSum, Secret
>>> ring = Ring("BFV", degree=1024, modulus_bits=27, plaintext_bits=8)
>>> key = Secret(ring, bytes(64))
>>> total = RunningSum(ring)
>>> for number in (3, 4):
...     total.add(*key.encrypt(np.full((1, 1024), number, np.uint64)))
>>> key.decrypt_integers(total.words())[0, :3].tolist()
[7, 7, 7]
"""

from privfl.lattice._plaintexts import coefficients, decode, encode
from privfl.lattice._ring import SEED_BYTES, Ring, RunningSum
from privfl.lattice._secret import Secret

__all__ = ["SEED_BYTES", "Ring", "RunningSum", "Secret", "coefficients", "decode", "encode"]
