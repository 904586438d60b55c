"""Laws for a part of your own: what its kind promises, checked on awkward inputs.

>>> from dataclasses import dataclass
>>> from privfl.parts import Aggregator
>>> @dataclass(frozen=True)
... class Last(Aggregator):
...     def __call__(self, updates, weights=None):
...         return updates[-1]
>>> card = check_aggregator(Last())
>>> card.passed
False
>>> card.failures[0].law
'permuting the rows changes no bit'
>>> card.require()
Traceback (most recent call last):
...
privfl.testing._law.LawBroken: Last()
...
"""

from privfl.testing._aggregator_laws import AGGREGATOR_LAWS
from privfl.testing._card import Card
from privfl.testing._check_aggregator import check_aggregator
from privfl.testing._check_protocol import check_protocol
from privfl.testing._check_wrapper import check_wrapper
from privfl.testing._law import LawBroken
from privfl.testing._protocol_laws import PROTOCOL_LAWS
from privfl.testing._wrapper_laws import WRAPPER_LAWS

__all__ = [
    "AGGREGATOR_LAWS",
    "PROTOCOL_LAWS",
    "WRAPPER_LAWS",
    "Card",
    "LawBroken",
    "check_aggregator",
    "check_protocol",
    "check_wrapper",
]
