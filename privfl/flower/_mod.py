"""What a guarded client does with a message."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from typing import TypeAlias, TypeVar

from flwr.app import Context, Error, Message, RecordDict, UserConfig

from privfl.core import (
    Account,
    BudgetExceeded,
    CompositionError,
    Party,
    ProtocolAbort,
    Registry,
)
from privfl.core._identity_file import read_identity
from privfl.crypto import Identity, Stream
from privfl.flower._arrays import Arrays
from privfl.flower._introduction import introduce
from privfl.flower._keeping import Keeping
from privfl.flower._letters import Ask, answer, without_ask
from privfl.flower._memory import Memory
from privfl.flower._policy import Policy
from privfl.flower._refusal import Reason, Refusal
from privfl.flower._served import require_served
from privfl.flower._turn import Turn
from privfl.pipeline import Pipeline
from privfl.reading import read_pipeline
from privfl.rounds import respond

App = Callable[[Message, Context], Message]
Key = tuple[Party, Identity]
Value = TypeVar("Value")
OfContext: TypeAlias = Value | Callable[[Context], Value]

IDENTITY = "privfl-identity"  # the entry of a SuperNode's --node-config that names the key's file

logger = logging.getLogger("flwr")


@dataclass(frozen=True)
class Mod:
    """Answer messages by the pipeline, and by an error where that cannot be.

    Attributes are the arguments of `client_mod`, which makes it.
    """

    shield: Pipeline | Callable[[UserConfig], Pipeline]
    policy: Policy | None
    ledger: OfContext[Account] | None
    registry: OfContext[Registry] | None
    identity: OfContext[Key] | None = field(repr=False)
    memory: OfContext[str | PathLike[str]] | None
    generator: Stream | None = field(repr=False)  # a Stream of its own would not cross a process

    def __call__(self, message: Message, context: Context, app: App) -> Message:
        """Answer a message; ``app`` is what stands behind this mod."""
        try:
            return Message(self._content(message, context, app), reply_to=message)
        except Exception as error:
            refusal = Refusal.of(error)
            cause = error if refusal.code is Reason.FAILED else None
            logger.warning("privfl: nothing is sent. %s", refusal, exc_info=cause)
            return Message(Error(int(refusal.code), str(refusal)), reply_to=message)

    def _content(self, message: Message, context: Context, app: App) -> RecordDict:
        ask = Ask.of(message)
        name, key = self._key(context)
        if ask.kind == "hello":
            return answer(_introduction(ask.letter, context.node_id, name, key))
        _require_mine(ask, message, (name, context.node_id))
        own, registry = self._own(context), _of(self.registry, context)
        require_served(own, registry)
        content = without_ask(message.content)
        sent = Arrays.of(content) if content.array_records else None
        turn = Turn(
            ask,
            sent,
            own,
            self.policy,
            _of(self.ledger, context),
            self.generator is not None and self.generator.seeded,
            lambda: _run(app, message, content, context),
        )
        keeping = Keeping(context, ask.kind, self._memory_of(context))
        reply, state = respond(
            self._agreed(ask, own),
            ask.me,
            ask.letter,
            keeping.read(),
            turn.update,
            generator=self.generator,
            identity=key,
            registry=registry,
            model=None if sent is None else sent.hash,
            admit=turn.admit,
        )
        keeping.write(state)
        return answer(reply)

    def _own(self, context: Context) -> Pipeline:
        return self.shield if isinstance(self.shield, Pipeline) else self.shield(context.run_config)

    def _agreed(self, ask: Ask, own: Pipeline) -> Pipeline:
        """Return the pipeline to run: this client's own, or the server's within the policy."""
        if self.policy is None:
            return own  # whose hash the opening must name
        pipeline = own if ask.pipeline == repr(own) else _read(ask.pipeline)
        self.policy.require_parts(pipeline, own)
        return pipeline

    def _memory_of(self, context: Context) -> Memory | None:
        path = self.memory(context) if callable(self.memory) else self.memory
        return None if path is None else Memory(path)

    def _key(self, context: Context) -> tuple[Party, Identity | None]:
        if self.identity is not None:
            return _of(self.identity, context)  # type: ignore[return-value]
        path = context.node_config.get(IDENTITY)
        return (context.node_id, None) if path is None else read_identity(str(path))


def _require_mine(ask: Ask, message: Message, names: tuple[Party, int]) -> None:
    """Refuse a letter that is about something else than its message, or for somebody else."""
    if message.metadata.message_type.split(".")[0] != ask.kind:
        raise ProtocolAbort(f"A letter about {ask.kind!r} in a message of another type")
    if ask.me not in names:
        raise ProtocolAbort(f"A letter to {ask.me!r}, this client is {names[0]!r}")


def _run(app: App, message: Message, content: RecordDict, context: Context) -> RecordDict:
    """Let the app answer its own message; what goes wrong there is for its own log."""
    message.content = content
    try:
        reply = app(message, context)
    except BudgetExceeded:
        raise
    except Exception as error:
        raise Refusal(Reason.FAILED, f"The app raised {type(error).__name__}") from error
    if reply.has_error():
        raise Refusal(Reason.FAILED, "The app answered with an error")
    return reply.content


def _read(text: str) -> Pipeline:
    try:
        return read_pipeline(text)
    except CompositionError:
        raise
    except ValueError as error:
        raise ProtocolAbort(
            "The server's pipeline has parts that this client does not know"
        ) from error


def _introduction(nonce: bytes, node_id: int, name: Party, key: Identity | None) -> bytes:
    if key is None:
        raise Refusal(
            Reason.REFUSED,
            f"This client has no key: pass identity=, or {IDENTITY!r} in its node's configuration",
        )
    return introduce(nonce, node_id, name, key)


def _of(value: OfContext[Value] | None, context: Context) -> Value | None:
    return value(context) if callable(value) else value
