"""What each party sees, and what an attacker knows besides.

A `View` is made from a `Tape` that a recording wire filled and from what each side opened: the
engine never writes one. An attack is a function ``attack(view, knowledge, generator)``, so it
cannot see the truth.

>>> from privfl.views import View
>>> from privfl.core import Vantage
>>> View(Vantage.SERVER).letters
()
"""

from privfl.views._knowledge import Knowledge, NotApplicable
from privfl.views._tape import Tape
from privfl.views._transcript import Transcript
from privfl.views._view import Posted, View

__all__ = ["Knowledge", "NotApplicable", "Posted", "Tape", "Transcript", "View"]
