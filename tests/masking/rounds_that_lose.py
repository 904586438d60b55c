"""Rounds of secure aggregation in which clients vanish at any exchange."""

import itertools

import torch

from parts_for_tests import FixedPoint
from privfl import ProtocolAbort
from privfl.defenses.dp import Clip
from privfl.rounds import Round
from rounds_for_tests import Clients, opened, through_bytes, whole_numbers

EXACT = (Clip(100.0), FixedPoint(bits=10))
EXCHANGES = 5  # the last stage has two
MASKED = 2  # the exchange in which the masked vector is sent


def losing(deliver, gone):
    """Lose each client of ``gone`` from the exchange it names on, counted from 0."""
    count = itertools.count()

    def wire(letters):
        k = next(count)
        return deliver({who: x for who, x in letters.items() if k < gone.get(who, EXCHANGES)})

    return wire


def summed(line, updates, gone):
    """One round in which both sides live in bytes: -> what it released."""
    clients = Clients(line, updates)
    round_ = Round.open(line, opened(line, clients), registry=clients.registry)
    return through_bytes(round_, losing(clients.wire(), gone))


def require_exact(release, updates, counted):
    assert release.survivors == tuple(counted)
    assert torch.equal(release.opened.sums[0].double(), updates[list(counted)].sum(dim=0))


class EveryPattern:
    """Run every pattern of dropouts, those that begin alike together.

    Both sides are bytes between two letters, so a round goes on from there once for each subset of
    the clients whose replies arrive.

    Attributes:
        released, aborted: how many patterns ended so.
    """

    def __init__(self, line, n, dim=3):
        self.line, self.updates = line, whole_numbers(n, dim)
        self.clients = Clients(line, self.updates)
        self.least = line.protocol.min_survivors(n)
        self.released = self.aborted = 0
        first = Round.open(line, opened(line, self.clients), registry=self.clients.registry)
        self._from(first.to_bytes(), {}, 0, ())

    def _from(self, data, kept, exchange, counted):
        round_ = self._round(data)
        self.clients.kept = dict(kept)
        replies = {who: self.clients.answer(who, x) for who, x in round_.letters.items()}
        after = dict(self.clients.kept)
        for size in range(len(replies) + 1):
            for left in itertools.combinations(replies, size):
                self._lost(data, {who: replies[who] for who in left}, after, exchange, counted)

    def _round(self, data):
        return Round.from_bytes(self.line, data, registry=self.clients.registry)

    def _lost(self, data, replies, kept, exchange, counted):
        enough = len(replies) >= self.least
        try:
            after = self._round(data).collect(replies.items())
        except ProtocolAbort:
            assert not enough
            self.aborted += (EXCHANGES - exchange) ** len(replies)
            return
        assert enough
        counted = tuple(replies) if exchange == MASKED else counted
        if after.letters:
            self._from(after.to_bytes(), kept, exchange + 1, counted)
            return
        require_exact(after.release, self.updates, counted)
        self.released += 1
