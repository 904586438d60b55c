"""What attackers send in place of an honest update, or train on in place of honest labels.

An `UpdatePoisoning` sees the honest updates and returns what its clients send, all that the threat
model grants: (m, d) -> (n_byzantine, d). A `DataPoisoning` changes the labels that its clients
train on and then obeys. Both tell their strength for n clients, since one name covers attacks that
differ tenfold: ALIE by its formula sends the honest mean when 2 of 10 attack.

>>> import torch
>>> honest = torch.tensor([[1.0, 0.0], [3.0, 2.0]])
>>> SignFlip(5.0, n_byzantine=1)(honest)
tensor([[-10.,  -5.]])
>>> IPM(n_byzantine=1)(honest)
tensor([[-0.2000, -0.1000]])
>>> ALIE(n_byzantine=2).strength(10), MinMax(n_byzantine=2).strength(10)
('z = 0.00', 'as far as honest updates are apart')
>>> LabelFlip(n_byzantine=1).poison(torch.tensor([0, 1, 9]))
tensor([9, 8, 0])
"""

from privfl.attacks.poisoning._alie import ALIE
from privfl.attacks.poisoning._ipm import IPM
from privfl.attacks.poisoning._label_flip import LabelFlip
from privfl.attacks.poisoning._min_max import MinMax
from privfl.attacks.poisoning._poisoning import DataPoisoning, Poisoning, UpdatePoisoning
from privfl.attacks.poisoning._sign_flip import SignFlip

__all__ = [
    "ALIE",
    "IPM",
    "DataPoisoning",
    "LabelFlip",
    "MinMax",
    "Poisoning",
    "SignFlip",
    "UpdatePoisoning",
]
