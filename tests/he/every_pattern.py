"""Every way in which the letters of an encrypted sum can be lost."""

import itertools

from privfl.core import ProtocolAbort
from privfl.rounds import Round


class EveryPattern:
    """Lose every subset of the letters of every exchange, or of the replies to them.

    Both sides are bytes between two letters, so that rounds that begin alike go on from there once
    for each subset that arrives. A client whose reply is lost has answered; one whose letter is
    lost knows nothing of it.

    Attributes:
        released, aborted: how many patterns ended so.
    """

    def __init__(self, clients, lost, members=None):
        self.clients, self.lost = clients, lost
        self.least = clients.line.protocol.min_survivors(len(clients.names))
        self.publishes = clients.line.protocol.publishes
        self.released = self.aborted = 0
        self._from(clients.open(members).to_bytes(), dict(clients.kept), (), 0)

    def _from(self, data, kept, counted, asked):
        letters = self._round(data).letters
        replies, after = {}, {}
        for who, letter in letters.items():
            self.clients.kept = dict(kept)
            replies[who] = self.clients.answer(who, letter)
            after[who] = self.clients.kept[who]
        for size in range(len(letters) + 1):
            for arrived in itertools.combinations(letters, size):
                knows = letters if self.lost == "replies" else arrived
                then = {**kept, **{who: after[who] for who in knows}}
                self._collect(data, {who: replies[who] for who in arrived}, then, counted, asked)

    def _round(self, data):
        return Round.from_bytes(self.clients.line, data, registry=self.clients.registry)

    def _collect(self, data, replies, kept, counted, asked):
        before = self._round(data)
        try:
            after = before.collect(replies.items())
        except ProtocolAbort:
            assert self._may_abort(before, replies, counted, asked)
            self.aborted += 1
            return
        assert not self._must_abort(before, replies)
        counted = tuple(replies) if before.stage == "upload" else counted
        if after.letters:
            again = after.stage == before.stage
            self._from(after.to_bytes(), kept, counted, asked + 1 if again else 0)
            return
        self._released(after.release, replies, kept, counted)

    def _must_abort(self, before, replies):
        return before.stage in ("advertise", "upload") and len(replies) < self.least

    def _may_abort(self, before, replies, counted, asked):
        """Say when nobody is left to ask: only after everybody was."""
        if before.stage in ("advertise", "upload"):
            return len(replies) < self.least
        everybody = before.protocol["present"] if before.stage == "keys" else None
        left = int.from_bytes(everybody, "little").bit_count() if everybody else len(counted)
        return not replies and asked + 1 == left

    def _released(self, release, replies, kept, counted):
        self.clients.kept = kept
        assert release.survivors == counted
        assert release.rejected == {}
        if self.publishes:
            self.clients.require_mean(release.update, counted)
        else:
            assert release.update.numel() == 0
            for who in replies:
                opened = self.clients.release(who)
                assert opened["survivors"] == counted
                self.clients.require_mean(opened["update"], counted)
        self.released += 1
