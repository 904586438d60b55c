"""Attacks against defences on real training: scenarios, duels, verdicts, the report.

>>> from privfl import Pipeline
>>> from privfl.attacks.poisoning import SignFlip
>>> scenario = Scenario.digits().but(rounds=1)
>>> table = duel([SignFlip(5.0, n_byzantine=2)], {"undefended": Pipeline()}, scenario, seeds=1)
>>> [row.name for row in table.rows], table.seeds
(['undefended'], 1)
"""

from privfl.evaluate._attackers import Attackers
from privfl.evaluate._contender import Contender, Poison, Probe
from privfl.evaluate._demo import demo
from privfl.evaluate._duel import Duel, duel
from privfl.evaluate._picture import Picture
from privfl.evaluate._pool import Pool
from privfl.evaluate._reconstruct import Reconstructed, reconstruct
from privfl.evaluate._scenario import Scenario
from privfl.evaluate._strip import strip_png
from privfl.evaluate._table import Cell, Column, Row, Table
from privfl.evaluate._terminal import print_table
from privfl.evaluate._verdict import Verdict

__all__ = [
    "Attackers",
    "Cell",
    "Column",
    "Contender",
    "Duel",
    "Picture",
    "Poison",
    "Pool",
    "Probe",
    "Reconstructed",
    "Row",
    "Scenario",
    "Table",
    "Verdict",
    "demo",
    "duel",
    "print_table",
    "reconstruct",
    "strip_png",
]
