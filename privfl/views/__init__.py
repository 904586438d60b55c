"""What each party sees, and what an attacker knows besides.

A `View` is made from a `Tape` that a recording wire filled and from what each side opened: the
engine never writes one. An attack is a function ``attack(view, knowledge, generator)``, so it
cannot see the truth.

>>> from privfl.views import View
>>> from privfl.core import Vantage
>>> View(Vantage.SERVER).letters
()

The same tape makes the public record of a masked round, whose lines hold on to each other, and
`verify_log` checks it with nothing but the clients' public keys: who signed which list of
survivors, and that nobody showed shares twice.

>>> from privfl.views import Rule, verify_log
>>> [violation.rule for violation in verify_log([]).violations] == [Rule.END]
True
"""

from privfl.views._findings import Findings, Rule, SumFindings, Violation
from privfl.views._knowledge import Knowledge, NotApplicable
from privfl.views._round_log import round_log
from privfl.views._tape import Tape
from privfl.views._transcript import Transcript
from privfl.views._verify_log import verify_log
from privfl.views._view import Posted, View

__all__ = [
    "Findings",
    "Knowledge",
    "NotApplicable",
    "Posted",
    "Rule",
    "SumFindings",
    "Tape",
    "Transcript",
    "View",
    "Violation",
    "round_log",
    "verify_log",
]
