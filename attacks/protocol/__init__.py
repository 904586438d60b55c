"""Attacks on protocols: servers that lie in a masked sum, and one that listens to an encrypted sum.

A masked sum hides updates from a server that may do anything, so that is what these do: each
speaks the real letters to clients that answer them, tells one lie, and takes every mask off that
the lie gave it. Clients are callables from bytes to bytes, as `privfl.rounds.direct` takes them.

>>> import torch
>>> from privfl import Pipeline
>>> from privfl.core import Registry
>>> from privfl.crypto import Identity
>>> from privfl.defenses.dp import Clip
>>> from privfl.defenses.masking import SecAgg
>>> from privfl.rounds import Opening, respond
>>> line, names = Pipeline(Clip(9.0), SecAgg()), range(6)
>>> keys = {who: Identity.new() for who in names}
>>> registry = Registry({who: key.public for who, key in keys.items()})
>>> def client(me, kept=b""):
...     def answer(letter):
...         nonlocal kept
...         reply, kept = respond(line, me, letter, kept, lambda: (torch.ones(3) * me, {}),
...             identity=keys[me], registry=registry)
...         return reply
...     return answer
>>> def outcome(attack):
...     clients = {me: client(me) for me in names}
...     return attack.run(line, clients, Opening.fresh(line, 6, body=3, model=b"m"), victim=1)

A lie that clients see is refused; a lie that they cannot see leaves noise:

>>> outcome(DoubleUnmasking()).refused[0]
'A letter after the last one of a sum'
>>> outcome(AskedTwice()).refused[5]
'This client has contributed to a sum on this model before (R16)'
>>> outcome(SwappedKeys()).refused[1][:31]
'Client 0 did not sign these key'
>>> noise = outcome(LateWord())
>>> noise.refused, int(noise.guess.max() - noise.guess.min()) > 1
({}, True)

No protocol stops more corrupt clients than it was made for. Here five are, and the server reads
the sixth client's vector, three numbers that are equal but for rounding:

>>> read = outcome(Collusion({me: keys[me] for me in names if me != 1})).guess
>>> int(read.max() - read.min()) <= 1, 0 < int(read[0]) < 32768
(True, True)

Nor does any hide what a sum itself shows: if all others send zeros, whether by chance or since the
model that everybody got teaches them nothing, the sum is the victim's update.

In an encrypted sum of CKKS it takes no lie. A result that is handed out just as it decrypts is an
equation for the secret key, and who kept the ciphertexts then reads each client's. Here is a sum
without the noise that belongs to it, and one with it:

>>> from privfl.core import Vantage
>>> from privfl.defenses.he import CKKS
>>> class Bare(CKKS):
...     def parameters(self, plan):
...         return CKKS().parameters(plan)
>>> def attacked(part):
...     line = Pipeline(Clip(1.0), part)
...     transcript = line.aggregate(torch.eye(3, 2048) / 2, transcript=True).transcript
...     return CKKSKeyRecovery()(line, transcript.view(Vantage.SERVER))
>>> found = attacked(Bare(published=5))
>>> found.key.unique(), found.updates[0][1][:4].round(decimals=6) + 0.0
(tensor([-1,  0,  1]), tensor([0.0000, 0.5000, 0.0000, 0.0000], dtype=torch.float64))
>>> attacked(CKKS(published=5)).key is None
True
"""

from privfl.attacks.protocol._asked_twice import AskedTwice
from privfl.attacks.protocol._ckks_key_recovery import CKKSKeyRecovery, Recovered
from privfl.attacks.protocol._collusion import Collusion
from privfl.attacks.protocol._double_unmasking import DoubleUnmasking
from privfl.attacks.protocol._extra_pass import ExtraPass
from privfl.attacks.protocol._isolation import Isolation
from privfl.attacks.protocol._late_word import LateWord
from privfl.attacks.protocol._malicious_server import MaliciousServer
from privfl.attacks.protocol._outcome import Outcome
from privfl.attacks.protocol._padded_quorum import PaddedQuorum
from privfl.attacks.protocol._repeated_masks import RepeatedMasks
from privfl.attacks.protocol._shrunk_pass import ShrunkPass
from privfl.attacks.protocol._split_edges import SplitEdges
from privfl.attacks.protocol._split_survivors import SplitSurvivors
from privfl.attacks.protocol._swapped_keys import SwappedKeys
from privfl.attacks.protocol._two_models import TwoModels

__all__ = [
    "AskedTwice",
    "CKKSKeyRecovery",
    "Collusion",
    "DoubleUnmasking",
    "ExtraPass",
    "Isolation",
    "LateWord",
    "MaliciousServer",
    "Outcome",
    "PaddedQuorum",
    "Recovered",
    "RepeatedMasks",
    "ShrunkPass",
    "SplitEdges",
    "SplitSurvivors",
    "SwappedKeys",
    "TwoModels",
]
