"""The server's half of a round."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import torch

from privfl.core import Party, ProtocolAbort, Registry, Rows, State, decode, encode, require
from privfl.crypto import Stream
from privfl.parts import Turn
from privfl.rounds._envelope import Envelope, fields
from privfl.rounds._line import Line
from privfl.rounds._opened import Opened, as_number, finish, learned, undo_wrappers, weighed
from privfl.rounds._opening import Opening
from privfl.rounds._release import Release
from privfl.rounds._setting import Setting


@dataclass(frozen=True)
class Round:
    """Hold the server's half of a round between two exchanges. It never changes itself.

    `collect` takes the replies to `letters` and returns the round's next state, until there are
    no letters and a `release`. `to_bytes` writes what is between, so that another process goes on.

    Attributes:
        setting: what both sides derive from the opening.
        letters: to send now.
        protocol: the protocol's own state.
        memory: state of the parts behind the protocol, and when each client was last counted.
        exchange: how many times letters were sent.
        traffic: bytes to and from each client.
        rejected: whose reply could not be used.
        release: at the end.
        registry: the public keys of the clients, by which a server tells whose letter is forged;
            None leaves that to the clients.
    """

    setting: Setting
    letters: Mapping[Party, bytes] = field(default_factory=dict, repr=False)
    stage: str = ""
    protocol: State = field(default=None, repr=False)
    memory: Mapping[Party, State] = field(default_factory=dict, repr=False)
    exchange: int = 0
    traffic: Mapping[Party, tuple[int, int]] = field(default_factory=dict, repr=False)
    rejected: Mapping[Party, str] = field(default_factory=dict)
    release: Release | None = None
    generator: Stream = field(default_factory=Stream, repr=False)
    registry: Registry | None = field(default=None, repr=False)

    @classmethod
    def open(
        cls,
        line: Line,
        opening: Opening,
        state: State = None,
        generator: Stream | None = None,
        registry: Registry | None = None,
    ) -> "Round":
        """Start a round: the first letters are ready.

        Args:
            line: the server's pipeline.
            opening: see `Opening`; its public state is the one of ``state``.
            state: the last release's, or None.
            generator: randomness of the parts behind the protocol; None: the operating system's.
            registry: the public keys of the clients, where the protocol signs.

        Raises:
            ValueError: for the state of another pipeline.
        """
        memory = fields(state if state is not None else {})
        same = memory.get("pipeline", line.fingerprint) == line.fingerprint
        fix = "Start with state=None"
        require(same, "state must come from a round of this pipeline", "another one's", fix)
        first = Round(
            Setting(line, opening),
            memory={k: memory[k] for k in ("private", "counted") if k in memory},
            generator=generator or Stream(),
            registry=registry,
        )
        return first._start()

    def collect(self, replies: Iterable[tuple[Party, bytes]]) -> "Round":
        """Take replies, one at a time, and return what follows.

        Raises:
            ProtocolAbort: where the protocol cannot go on.
        """
        if not self.letters:
            raise ProtocolAbort("The round has ended: it takes no replies")
        post = _Post(self)
        turn = self._protocol_turn(post.open(replies), self.protocol)
        heard = replace(
            self,
            traffic=post.traffic,
            rejected={**self.rejected, **post.rejected, **turn.rejected},
        )
        if turn.rows is not None:
            return heard._opened(turn.rows)
        if not turn.letters:
            return heard._closed(turn.state)
        return heard._sent(turn, first=False)

    def to_bytes(self) -> bytes:
        """Write the round between two exchanges; the randomness is drawn anew when it goes on."""
        setting = self.setting
        return encode(
            {
                "opening": setting.opening.to_state(),
                "letters": dict(self.letters),
                "stage": self.stage,
                "protocol": self.protocol,
                "memory": dict(self.memory),
                "exchange": self.exchange,
                "traffic": dict(self.traffic),
                "rejected": dict(self.rejected),
            }
        )

    @classmethod
    def from_bytes(
        cls,
        line: Line,
        data: bytes,
        generator: Stream | None = None,
        registry: Registry | None = None,
    ) -> "Round":
        """Go on with what `to_bytes` wrote, under the same pipeline."""
        kept = dict(fields(decode(data)))
        setting = Setting(line, Opening.from_state(kept.pop("opening")))
        return cls(setting, generator=generator or Stream(), registry=registry, **kept)  # type: ignore[arg-type]

    def _protocol_turn(self, replies: Iterable[tuple[Party, bytes]], state: State) -> Turn:
        line = self.setting.line
        generator = self._randomness("protocol")
        at = self.setting.at(line.protocol_at, generator, state, registry=self.registry)
        return line.protocol.collect(replies, at)

    def _randomness(self, label: str) -> Stream:
        return self.generator.child(f"server/{label}/{self.exchange}/{self.setting.session.hex()}")

    def _start(self) -> "Round":
        return self._sent(self._protocol_turn((), None), first=True)

    def _sent(self, turn: Turn, *, first: bool) -> "Round":
        session, opening = self.setting.session, self.setting.opening.to_state() if first else None
        present = set(self.setting.opening.present)  # who left in a pass before is not asked again

        @cache  # a letter to everybody is one piece of memory
        def written(letter: bytes, outcome: State) -> bytes:
            return Envelope(session, turn.stage, letter, opening, outcome).to_bytes()

        letters = {
            who: written(letter, self._outcome(who) if first else None)
            for who, letter in turn.letters.items()  # type: ignore[union-attr]
            if who in present
        }
        traffic = {**self.traffic}
        for who, letter in letters.items():
            down, up = traffic.get(who, (0, 0))
            traffic[who] = (down + len(letter), up)
        return replace(
            self,
            letters=letters,
            stage=turn.stage,
            protocol=turn.state,
            exchange=self.exchange + 1,
            traffic=traffic,
        )

    def _outcome(self, who: Party) -> State:
        return fields(self.memory.get("counted", {})).get(who)

    def _opened(self, rows: Rows) -> "Round":
        setting, generator = self.setting, self._randomness("open")
        weighed_rows = weighed(setting, rows)
        undone, public, again = undo_wrappers(
            setting, weighed_rows, generator, setting.opening.public
        )
        if again:
            survivors = set(rows.survivors)
            opening = replace(
                setting.opening,
                public=public,
                pass_index=setting.opening.pass_index + 1,
                present=tuple(who for who in setting.opening.present if who in survivors),
            )
            return replace(self, setting=Setting(setting.line, opening), protocol=None)._start()
        private = fields(self.memory.get("private", {}))
        opened = finish(setting, undone, private, generator)
        return self._released(opened, learned(setting, opened, public, generator))

    def _released(self, opened: Opened, public: Mapping[Party, State]) -> "Round":
        release = Release(
            update=opened.update,
            survivors=opened.survivors,
            n_clients=len(self.setting.opening.cohort),
            scalars=opened.scalars,
            statistics=opened.statistics,
            denominator=as_number(opened.denominator),
            realised=as_number(opened.realised),
            rejected={**self.rejected, **opened.rejected},
            bytes_up=max(up for _, up in self.traffic.values()),
            bytes_down=max(down for down, _ in self.traffic.values()),
            state=self._next_state(opened.survivors, public, opened.private),
            opened=opened.rows,
        )
        return replace(self, letters={}, protocol=None, release=release)

    def _closed(self, state: State) -> "Round":
        """End a round whose clients opened: the server only knows who is counted."""
        survivors = fields(state).get("survivors", ())
        release = Release(
            update=torch.empty(0),
            survivors=survivors,  # type: ignore[arg-type]
            n_clients=len(self.setting.opening.cohort),
            rejected=self.rejected,
            bytes_up=max(up for _, up in self.traffic.values()),
            bytes_down=max(down for down, _ in self.traffic.values()),
            state=self._next_state(survivors, self.setting.opening.public, {}),  # type: ignore[arg-type]
        )
        return replace(self, letters={}, protocol=None, release=release)

    def _next_state(
        self,
        survivors: tuple[Party, ...],
        public: Mapping[Party, State],
        private: Mapping[Party, State],
    ) -> State:
        opening = self.setting.opening
        state: dict[Party, State] = {
            "pipeline": self.setting.line.fingerprint,
            "round": opening.round + 1,
            "public": dict(public),
            "private": dict(private),
        }
        if self.setting.line.remembers:
            before = fields(self.memory.get("counted", {}))
            state["counted"] = {**before, **dict.fromkeys(survivors, opening.nonce)}
        return state


class _Post:
    """Open reply envelopes: what does not fit its session and stage is rejected by name."""

    def __init__(self, round_: Round) -> None:
        self.round = round_
        self.traffic = dict(round_.traffic)
        self.rejected: dict[Party, str] = {}

    def open(self, replies: Iterable[tuple[Party, bytes]]) -> Iterator[tuple[Party, bytes]]:
        waiting = set(self.round.letters)
        for who, data in replies:
            if who not in waiting:
                self.rejected[who] = "a reply that nobody asked for"
                continue
            down, up = self.traffic.get(who, (0, 0))
            self.traffic[who] = (down, up + len(data))
            try:
                envelope = Envelope.read(data)
            except ProtocolAbort as error:
                self.rejected[who] = str(error)
                continue
            if (envelope.session, envelope.stage) != (self.round.setting.session, self.round.stage):
                self.rejected[who] = "a reply of another session or stage"
                continue
            waiting.discard(who)
            yield who, envelope.letter
