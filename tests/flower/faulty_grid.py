"""A grid whose clients are processes, and on which one thing after the other goes wrong."""

import os
import signal
from collections import Counter
from dataclasses import dataclass, replace

from flwr.app import Array, ArrayRecord, Message, RecordDict

from flower.client_process import ClientProcess
from privfl.core import decode, encode
from privfl.flower import InProcessGrid
from privfl.flower._letters import Ask, answer, answered
from privfl.rounds._envelope import Envelope

ORDERS = {
    "says its last reply again": "say the last again",
    "is killed before it works": "die before work",
    "is killed after it worked": "die after work",
}
CHANGES = {
    "answers in another version": lambda letter: letter[:3] + bytes([99]) + letter[4:],
    "answers too much": lambda letter: _padded(letter, 1 << 20),
}
FAULTS = [
    *ORDERS,
    *CHANGES,
    "is sent another version",
    "is sent an old letter instead",
    "is sent an old letter besides",
    "answers too late",
]
KILLS = FAULTS[1:3]
HARMLESS = ["is sent an old letter besides"]
SERVER_KILLED = "the server is killed"


@dataclass(frozen=True)
class Fault:
    """Say what goes wrong in which round, at which exchange of a stage, and with whom.

    Without a ``node_id`` it is with whoever is asked first.
    """

    kind: str
    node_id: int | None
    round: int
    stage: str
    exchange: int = 0


class FaultyGrid(InProcessGrid):
    """Let each node be a process, which is started again when it is written to after its death.

    Attributes:
        victims: the nodes at which faults came to pass, by fault.
        processes: all that there were, the dead ones too.
        errors: of this grid itself: there must be none.
    """

    def __init__(self, job, faults=()):
        super().__init__(self._deliver, len(job.updates))
        self.job, self.faults, self.victims = job, list(faults), {}
        self.processes, self.errors = [], []
        self._at = {}
        self._sessions, self._exchanges = [], Counter()
        self._old, self._late = {}, []
        for node_id in self.get_node_ids():
            self._started(node_id)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in self.processes:
            process.kill()

    def send_and_receive(self, messages, *, timeout=None):
        """Deliver; what was too late for the last exchange arrives first."""
        late, self._late = self._late, []
        return [*late, *super().send_and_receive(messages, timeout=timeout)]

    def _deliver(self, message, context):
        try:
            return self._delivered_to(context.node_id, message)
        except Exception as error:  # the grid makes a client's fault of it
            self.errors.append(error)
            raise

    def _delivered_to(self, node_id, message):
        ask = Ask.of(message)
        fault = None if ask.kind == "hello" else self._fault(node_id, ask)
        old, self._old[node_id] = self._old.get(node_id), ask
        process = self._at[node_id]
        if not process.alive:
            process = self._started(node_id)
        if fault is None:
            return process.ask(message)
        self.victims[fault] = node_id
        return self._play(fault.kind, process, message, ask, old)

    def _play(self, kind, process, message, ask, old):
        if kind == SERVER_KILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        if kind in ORDERS:
            return process.ask(message, ORDERS[kind])
        if kind == "is sent another version":
            return process.ask(_in_another_version(message))
        if kind.startswith("is sent an old letter"):
            assert old is not None
            first = process.ask(_with(message, replace(ask, letter=old.letter)))
            return first if kind.endswith("instead") else process.ask(message)
        reply = process.ask(message)
        if kind == "answers too late":
            self._late.append(reply)
            return None
        reply.content = answer(CHANGES[kind](answered(reply)))
        return reply

    def _fault(self, node_id, ask):
        envelope = Envelope.read(ask.letter)
        if envelope.session not in self._sessions:
            self._sessions.append(envelope.session)
        number, stage = len(self._sessions) - 1, envelope.stage
        place = (node_id, number, stage)
        exchange, self._exchanges[place] = self._exchanges[place], self._exchanges[place] + 1
        for fault in self.faults:
            here = (fault.round, fault.stage, fault.exchange) == (number, stage, exchange)
            if here and fault not in self.victims and fault.node_id in (None, node_id):
                return fault
        return None

    def _started(self, node_id):
        self._at[node_id] = ClientProcess(self.job, node_id)
        self.processes.append(self._at[node_id])
        return self._at[node_id]


def _with(message, ask):
    return _saying(message, ask.into(message.content))


def _in_another_version(message):
    """Change the version that the head of a server's message names."""
    record = message.content["privfl"]
    head = encode((2, *decode(record["head"].data)[1:]))
    changed = ArrayRecord({**record, "head": Array("uint8", (len(head),), "privfl", head)})
    return _saying(message, RecordDict({**message.content, "privfl": changed}))


def _saying(message, content):
    about = message.metadata
    return Message(content, about.dst_node_id, about.message_type, ttl=about.ttl)


def _padded(letter, n_bytes):
    """Make a letter longer by what is no letter to its protocol, and sound outside."""
    envelope = Envelope.read(letter)
    return replace(envelope, letter=envelope.letter + bytes(n_bytes)).to_bytes()
