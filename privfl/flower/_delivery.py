"""The wire of `privfl.rounds.drive` over a Flower grid."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from privfl.core import Party, ProtocolAbort
from privfl.flower._letters import Ask, answered, with_content
from privfl.flower._refusal import Reason, Refusal
from privfl.rounds import Letters
from privfl.rounds._envelope import Envelope

logger = logging.getLogger("flwr")


@dataclass
class Delivery:
    """Carry letters in the strategy's own messages, and note who answers by an error.

    The model travels once, in the stage that asks for the update.

    Attributes:
        grid: Flower's.
        messages: what the strategy wants to send, by client.
        uploads_in: the stage in which a client is asked for its update.
        ask: makes what stands beside a letter.
        timeout: seconds that each exchange may take; who is later has dropped out.
        largest: the longest reply that is read, in bytes.
        rejected: filled with those whose reply could not be used, and why.
    """

    grid: Grid
    messages: Mapping[Party, Message]
    uploads_in: str
    ask: Callable[[Party, bytes], Ask]
    timeout: float | None
    largest: int
    rejected: dict[Party, str]

    def __call__(self, letters: Letters) -> Iterator[tuple[Party, bytes]]:
        """Send letters and yield the replies that hold one.

        Raises:
            Refusal: where the whole cohort refuses to begin, or its apps fail: the next round will
                be no better.
        """
        envelope = Envelope.read(next(iter(letters.values())))
        sent = [self._message(who, letter, envelope.stage) for who, letter in letters.items()]
        replies, refused = self._received(sent, {self._node(who): who for who in letters})
        logger.info(
            "privfl: stage %s, %d of %d answered, %d refused",
            envelope.stage, len(replies), len(letters), len(refused),
        )  # fmt: skip
        if len(refused) == len(self.messages):
            first = next(iter(refused.values()))
            if envelope.opening is not None or first.code is not Reason.REFUSED:
                raise first
        yield from replies

    def _node(self, who: Party) -> int:
        return self.messages[who].metadata.dst_node_id

    def _received(
        self, sent: Sequence[Message], names: Mapping[int, Party]
    ) -> tuple[list[tuple[Party, bytes]], dict[Party, Refusal]]:
        replies, refused, out = [], dict[Party, Refusal](), dict[str, list[Party]]()
        for reply in self.grid.send_and_receive(sent, timeout=self.timeout):
            who = names.get(reply.metadata.src_node_id)
            if who is None:
                continue
            try:
                replies.append((who, self._letter(reply)))
            except (Refusal, ProtocolAbort) as error:
                out.setdefault(str(error), []).append(who)
                self.rejected[who] = str(error)
                if isinstance(error, Refusal):
                    refused[who] = error
        for why, clients in out.items():
            logger.warning("privfl: out are %s. %s", ", ".join(map(str, clients)), why)
        return replies, refused

    def _letter(self, reply: Message) -> bytes:
        letter = answered(reply)
        if len(letter) > self.largest:
            raise ProtocolAbort(f"A reply of {len(letter)} bytes, the most is {self.largest}")
        return letter

    def _message(self, who: Party, letter: bytes, stage: str) -> Message:
        original = self.messages[who]
        content = original.content if stage == self.uploads_in else RecordDict()
        return with_content(original, self.ask(who, letter).into(content))
