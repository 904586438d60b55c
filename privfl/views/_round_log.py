"""The public record of a masked round, as lines that hold on to each other."""

import json
from collections.abc import Iterable, Iterator, Sequence

from privfl.core import SERVER, Party, ProtocolAbort, Registry, require
from privfl.rounds import Line, Opening
from privfl.rounds._envelope import Envelope
from privfl.views._chain import chained
from privfl.views._letter_facts import Facts, sha256
from privfl.views._pass_facts import PassFacts, require_masks
from privfl.views._view import Posted

FORMAT = 1


def round_log(
    posted: Iterable[Posted],
    line: Line,
    registry: Registry | None = None,
    survivors: tuple[Party, ...] | None = None,
) -> tuple[str, ...]:
    """Turn the letters of a masked round into a log, a line of JSON a letter.

    Each line has its number, the hash of the line before and its own; sender, receiver, stage, and
    the SHA-256 of the letter as it travelled, so that each party knows its own again; and what is
    public in it: keys and their signature, who was there, who masked with whom, who was to be
    counted, who signed that, and of whom a share of which secret was shown. That last one follows
    from the list that a client had signed: the shares themselves do not tell.

    Guarantees:
        - No line holds a word of a masked vector, a box or a share.

    Args:
        posted: every letter of the round in order, as a `Tape` records them.
        line: the pipeline, whose protocol masks: by itself, or in groups.
        registry: the public keys that the writer used. A log carries them as claims.
        survivors: who is counted in the release; None for a round without one.

    Raises:
        ValueError: for a pipeline that masks nothing.
    """
    return tuple(chained(_Writer(line, registry).entries(posted, survivors)))


def head_of(log: Sequence[str]) -> str:
    """Return the hash of the last line of a log."""
    return str(json.loads(log[-1])["hash"])


class _Writer:
    """Write an entry for each opening, each group and each letter."""

    def __init__(self, line: Line, registry: Registry | None) -> None:
        require_masks(line.protocol)
        self.line, self.registry = line, registry
        self.passes: dict[bytes, PassFacts] = {}

    def entries(
        self, posted: Iterable[Posted], survivors: tuple[Party, ...] | None
    ) -> Iterator[Facts]:
        for post in posted:
            yield from self._of(post)
        yield {"kind": "end", "survivors": None if survivors is None else list(survivors)}

    def _of(self, post: Posted) -> Iterator[Facts]:
        head = {
            "kind": "letter",
            "sender": post.sender,
            "receiver": post.receiver,
            "bytes": len(post.letter),
            "sha256": sha256(post.letter),
        }
        try:
            envelope = Envelope.read(post.letter)
            if post.sender == SERVER and envelope.opening is not None:
                yield from self._opened(Opening.from_state(envelope.opening))
            for facts in self._read(post, envelope):
                whole = facts.get("kind") == "group"
                yield facts if whole else {**head, "stage": envelope.stage, **facts}
        except ProtocolAbort:  # whoever sent this broke the round, not the record of it
            yield {**head, "what": "unreadable"}

    def _opened(self, opening: Opening) -> Iterator[Facts]:
        if opening.session in self.passes:
            return
        same = opening.fingerprint == self.line.fingerprint
        require(same, "posted must hold letters of this pipeline", "another one's")
        one = PassFacts(self.line, opening)
        facts = one.facts
        self.passes[opening.session] = one
        yield {
            "kind": "opening",
            "format": FORMAT,
            "pipeline": opening.fingerprint.hex(),
            "round": opening.round,
            "pass": opening.pass_index,
            "claimed": [[who, key.hex()] for who, key in (self.registry or {}).items()],
            **facts,
        }

    def _read(self, post: Posted, envelope: Envelope) -> Iterator[Facts]:
        if envelope.session not in self.passes:
            raise ProtocolAbort("A letter of a session that was never opened")
        found = self.passes[envelope.session]
        if post.sender == SERVER:
            yield from found.asks(post.receiver, envelope.letter)
        else:
            yield found.answers(post.sender, envelope.letter)
