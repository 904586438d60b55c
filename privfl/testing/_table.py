"""The clients of one round, and the wire to them."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from privfl.core import Party, ProtocolAbort, Registry
from privfl.crypto import Stream
from privfl.rounds import Letters, Round, respond
from privfl.rounds._envelope import Envelope
from privfl.testing._mail import TO_CLIENT, TO_SERVER, Change, Mail

if TYPE_CHECKING:
    from privfl.testing._protocol_world import World


class Table:
    """Carry the letters of one round, and keep what each client keeps."""

    def __init__(self, world: "World", change: Change, twice: bool) -> None:
        self.world, self.change, self.twice = world, change, twice
        self.mails: list[Mail] = []
        self.repeated: list[Mail] = []
        self.before: list[tuple[Round, Mapping[Party, bytes]]] = []
        self.kept: dict[Party, bytes] = dict(world.kept)
        self.asked: set[Party] = set()
        self.count = -1
        keys = world.identities
        public = {who: key.public for who, key in keys.items()}
        self.registry = Registry(public) if public else None

    def exchange(self, letters: Letters) -> Iterator[tuple[Party, bytes]]:
        """Carry letters to clients, and back what they answer."""
        self.count += 1
        for who, data in letters.items():
            reply = self._delivered(who, Envelope.read(data))
            if reply is None:
                continue
            envelope = Envelope.read(reply)
            sent = self._posted(TO_SERVER, who, envelope, asked=who in self.asked)
            if sent is not None:
                yield who, replace(envelope, letter=sent).to_bytes()

    def _delivered(self, who: Party, envelope: Envelope) -> bytes | None:
        """Return what a client answers, or None where the letter is lost or refused."""
        arrives = self._posted(TO_CLIENT, who, envelope, asked=False)
        if arrives is None:
            return None
        self.asked.discard(who)
        try:
            reply = self._answer(who, replace(envelope, letter=arrives).to_bytes())
        except ProtocolAbort:
            return None
        if self.twice:
            self._again(Mail(self.count, TO_CLIENT, who, arrives), envelope)
        return reply

    def _posted(self, way: str, who: Party, envelope: Envelope, *, asked: bool) -> bytes | None:
        mail = Mail(self.count, way, who, envelope.letter, asked)
        self.mails.append(mail)
        return self.change(mail)

    def _again(self, mail: Mail, envelope: Envelope) -> None:
        """Give a client the letter that it has just answered, without the opening."""
        before = self.kept[mail.who]
        try:
            self._answer(mail.who, replace(envelope, letter=mail.letter, opening=None).to_bytes())
        except ProtocolAbort:
            return
        finally:
            self.kept[mail.who] = before
        self.repeated.append(mail)

    def _answer(self, who: Party, letter: bytes) -> bytes:
        def update() -> tuple[Tensor, Mapping[str, float]]:
            self.asked.add(who)
            return self.world.updates[int(who)], {}

        seed = self.world.seed
        reply, self.kept[who] = respond(
            self.world.line,
            who,
            letter,
            self.kept.get(who, b""),
            update,
            generator=Stream() if seed is None else Stream.replay(seed),
            identity=self.world.identities.get(who),
            registry=self.registry,
        )
        return reply
