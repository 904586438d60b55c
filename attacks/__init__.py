"""Attacks, by family: `privfl.attacks.inversion`, `.poisoning` and `.protocol`.

An attack on privacy takes a view and declared knowledge, never the truth; a poisoning attack takes
what the attackers of the threat model see; a server that attacks a protocol takes what clients
answer to its lies.

>>> from privfl.attacks.poisoning import SignFlip
>>> SignFlip(5.0, n_byzantine=2)
SignFlip(scale=5.0, n_byzantine=2)
"""

__all__: list[str] = []
