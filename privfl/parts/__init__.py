"""The four kinds of part, and the neutral ones.

A `Trainer` makes an update, a `Wrapper` changes it, a `SumProtocol` carries it, an `Aggregator`
turns what arrives into one vector. A part of your own subclasses one of them.

>>> from privfl.parts import Mean, Plain
>>> Plain(), Mean()
(Plain(), Mean())
"""

from privfl.parts._aggregator import Aggregator
from privfl.parts._grouped import Grouped
from privfl.parts._mean import Mean
from privfl.parts._part import Part
from privfl.parts._plain import Plain
from privfl.parts._sum_protocol import Exchange, Replies, SumProtocol, Turn
from privfl.parts._trainer import Data, Loss, Trained, Trainer
from privfl.parts._weigh import Weigh
from privfl.parts._wrapper import Wrapper

__all__ = [
    "Aggregator",
    "Data",
    "Exchange",
    "Grouped",
    "Loss",
    "Mean",
    "Part",
    "Plain",
    "Replies",
    "SumProtocol",
    "Trained",
    "Trainer",
    "Turn",
    "Weigh",
    "Wrapper",
]
