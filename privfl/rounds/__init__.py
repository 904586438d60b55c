"""One round, both sides, without any I/O.

The server's half is a `Round`, a value between two exchanges; the client's half is `respond`, a
function from bytes to bytes. `drive` is the only loop, and a *wire* carries the letters.

>>> import torch
>>> from privfl.parts import Mean
>>> from privfl.rounds import Line, Opening, Round, direct, drive, respond
>>> line = Line(Mean())
>>> def client(me):
...     def answer(letter):
...         reply, kept = respond(line, me, letter, b"", lambda: (torch.ones(3) * me, {}))
...         return reply
...     return answer
>>> opening = Opening.fresh(line, members=(1, 3), body=3)
>>> drive(Round.open(line, opening), direct({1: client(1), 3: client(3)})).update
tensor([2., 2., 2.])
"""

from privfl.rounds._client import lasting, respond, with_lasting
from privfl.rounds._drive import Letters, Wire, drive
from privfl.rounds._in_process import in_process, on_device_of, throwaway_keys, without_keys
from privfl.rounds._line import Line
from privfl.rounds._opening import Opening
from privfl.rounds._release import Release
from privfl.rounds._server import Round
from privfl.rounds._setting import Setting
from privfl.rounds._wires import direct, dropping, tampering

__all__ = [
    "Letters",
    "Line",
    "Opening",
    "Release",
    "Round",
    "Setting",
    "Wire",
    "direct",
    "drive",
    "dropping",
    "in_process",
    "lasting",
    "on_device_of",
    "respond",
    "tampering",
    "throwaway_keys",
    "with_lasting",
    "without_keys",
]
