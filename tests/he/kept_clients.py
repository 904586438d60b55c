"""Clients of encrypted sums over several rounds, everything through bytes."""

import itertools
from dataclasses import replace

import torch

from parts_for_tests import FixedPoint
from privfl import Pipeline
from privfl.core import SERVER, Cohort, ProtocolAbort, decode
from privfl.defenses.dp import Clip
from privfl.defenses.he import BFV, CKKS
from privfl.defenses.he._key import Key
from privfl.defenses.he._numbers import Numbers
from privfl.rounds import Opening, Round, Setting, dropping, tampering
from privfl.rounds._envelope import Envelope
from rounds_for_tests import Clients, opened, through_bytes, whole_numbers

GRID = (Clip(100.0), FixedPoint(bits=10))
EXACT, EXACT_PUBLISHED = (Pipeline(*GRID, BFV(published=shown)) for shown in (False, True))
KEPT, PUBLISHED = Pipeline(Clip(100.0), CKKS()), Pipeline(Clip(100.0), CKKS(published=4))
LINES = [KEPT, PUBLISHED, EXACT, EXACT_PUBLISHED]


class Several(Clients):
    """Clients that keep their bytes from round to round."""

    def __init__(self, line, n=3, dim=5, **options):
        super().__init__(line, whole_numbers(n, dim), **options)
        self.number = itertools.count()
        self.aborts = {}

    def open(self, members=None, number=None, **options):
        """Open a round; its number is the next one."""
        number = next(self.number) if number is None else number
        members = Cohort.of(self.names if members is None else members)
        opening = opened(self.line, self, members=members, round=number, **options)
        return Round.open(self.line, opening, registry=self.registry)

    def round(self, members=None, number=None, *, drop=None, change=None, **options):
        """Take a round through bytes; ``change(sender, receiver, letter)`` sees the inner ones."""
        first = self.open(members, number, **options)
        self.aborts = {}
        wire = dropping(self.wire(self.aborts), drop or {}, self.line.protocol.stages)
        return through_bytes(first, tampering(wire, inner(change)) if change else wire)

    def key(self, who):
        return Key.of(self.memory(who)["protocol"]["key"])

    def keys_of(self, members):
        return {self.key(who).id for who in members}

    def release(self, who):
        """What a client opened in its last round, if it did."""
        return self.memory(who).get("release")

    def mean(self, counted):
        return torch.stack([self.updates[who] for who in counted]).mean(dim=0)

    def require_mean(self, update, counted):
        """The update is the mean of those who are counted: exactly, or as planned."""
        gap = (update.double() - self.mean(counted)).abs().max()
        n, dim = len(self.names), len(update)
        error = self.line.plan(n_clients=n, dim=dim).error * n / len(counted)
        assert float(gap) <= error + 1e-12

    def sum_of(self, who):
        """The numbers of the sum in which a client is: what everybody can derive."""
        opening = Opening.from_state(decode(self.kept[who])["opening"])
        return numbers_of(self.line, opening)


def numbers_of(line, opening):
    return Numbers.of(line.protocol, Setting(line, opening).at(line.protocol_at, None))


def inner(change):
    """Make a change of whole letters of one of the protocol's own."""

    def whole(sender, receiver, letter):
        envelope = Envelope.read(letter)
        what = change(sender, receiver, envelope.letter)
        return replace(envelope, letter=what).to_bytes()

    return whole


def to_client(who, kind, make):
    """Change the letter of one kind to one client."""

    def change(sender, receiver, letter):
        if (sender, receiver) != (SERVER, who) or decode(letter)[0] != kind.kind():
            return letter
        return make(kind.read(letter, 1 << 24)).to_bytes()

    return change


def from_client(who, kind, make):
    """Change the reply of one kind of one client."""

    def change(sender, receiver, letter):
        if (sender, receiver) != (who, SERVER):
            return letter
        try:
            found = kind.read(letter, 1 << 24)
        except ProtocolAbort:
            return letter
        return make(found).to_bytes()

    return change
