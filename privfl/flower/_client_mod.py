"""The client's side of a guarded Flower app: one mod."""

import logging
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from flwr.app import Context, Error, Message, RecordDict, UserConfig

from privfl.core import (
    Account,
    BudgetExceeded,
    CompositionError,
    Party,
    ProtocolAbort,
    Registry,
    require,
)
from privfl.core._identity_file import read_identity
from privfl.crypto import Identity, Stream
from privfl.flower._arrays import Arrays
from privfl.flower._introduction import introduce
from privfl.flower._keeping import keep, kept
from privfl.flower._letters import Ask, answer, without_ask
from privfl.flower._policy import Policy
from privfl.flower._refusal import Reason, Refusal
from privfl.flower._turn import Turn
from privfl.pipeline import Pipeline
from privfl.reading import read_pipeline
from privfl.rounds import respond

App = Callable[[Message, Context], Message]
Mod = Callable[[Message, Context, App], Message]
Key = tuple[Party, Identity]
Value = TypeVar("Value")
OfContext: TypeAlias = Value | Callable[[Context], Value]

IDENTITY = "privfl-identity"  # the entry of a SuperNode's --node-config that names the key's file

logger = logging.getLogger("flwr")


def client_mod(
    shield: Pipeline | Callable[[UserConfig], Pipeline],
    *,
    policy: Policy | None = None,
    ledger: OfContext[Account] | None = None,
    registry: OfContext[Registry] | None = None,
    identity: OfContext[Key] | None = None,
    generator: Stream | None = None,
) -> Mod:
    """Return the one mod of a guarded app: ``ClientApp(mods=[client_mod(shield)])``.

    The mod speaks the pipeline's protocol. When that asks for the update it lets the app train, and
    sends what the pipeline made of it. What does not fit is answered by an error: a message that
    did not come through `guard`, another pipeline, a round outside of the policy, a spent budget.

    Each argument but the policy may be a function of Flower's ``Context`` (the shield: of its
    ``run_config``), since a mod is made when the app is imported, for every node alike.

    Args:
        shield: the pipeline, the same as the server's.
        policy: what this client agrees to where the server's pipeline is another one; None: its
            hash must be that of ``shield``.
        ledger: this client's own, such as ``ledger.dataset("clinic-3")``; it is charged before an
            update leaves.
        registry: the public keys of all clients, for a protocol that signs.
        identity: this client's name and key; None reads the file that the node's configuration
            names: ``--node-config 'privfl-identity="clinic-3.toml"'``.
        generator: replays the noise, and marks what is charged as not private (rule R28).

    Guarantees:
        - Nothing leaves but letters of the protocol and error replies with public values.
        - What the client keeps between messages is a versioned value in ``Context.state``, and is
          written before the mod returns its reply.

    Raises:
        ValueError: for a protocol that signs, without a registry.
        CompositionError: for a pipeline that trains.
    """
    if isinstance(shield, Pipeline):
        require_served(shield, registry)
    capped = policy is not None and policy.largest_epsilon is not None
    wanted = "largest_epsilon= caps what this client's own ledger comes to: pass ledger="
    require(not capped or ledger is not None, wanted, "none")
    return _Mod(shield, policy, ledger, registry, identity, generator or Stream())


def require_served(shield: Pipeline, registry: object) -> None:
    """Refuse a pipeline that no Flower app can run as it is asked to."""
    if shield.trainer is not None:
        raise CompositionError(
            "R33",
            (shield.trainer,),
            f"{shield.trainer!r} trains, and in a Flower app the app does",
            "Leave it out, and use privfl.make_private in the train function",
        )
    wanted = f"{shield.protocol!r} signs letters: pass registry="
    require(not shield.protocol.signs or registry is not None, wanted, "none")


class _Mod:
    """Answer messages by the pipeline, and by an error where that cannot be."""

    def __init__(
        self,
        shield: Pipeline | Callable[[UserConfig], Pipeline],
        policy: Policy | None,
        ledger: OfContext[Account] | None,
        registry: OfContext[Registry] | None,
        identity: OfContext[Key] | None,
        generator: Stream,
    ) -> None:
        self.shield, self.policy, self.ledger = shield, policy, ledger
        self.registry, self.identity, self.generator = registry, identity, generator

    def __call__(self, message: Message, context: Context, app: App) -> Message:
        try:
            return Message(self._content(message, context, app), reply_to=message)
        except Exception as error:
            refusal = _said(error)
            logger.warning("privfl: nothing is sent. %s", refusal, exc_info=_unexpected(error))
            said = Error(int(refusal.code), str(refusal))
            return Message(said, reply_to=message)

    def _content(self, message: Message, context: Context, app: App) -> RecordDict:
        ask = Ask.of(message)
        name, key = self._key(context)
        if ask.kind == "hello":
            return answer(_introduction(ask.letter, context.node_id, name, key))
        if message.metadata.message_type.split(".")[0] != ask.kind:
            raise ProtocolAbort(f"A letter about {ask.kind!r} in a message of another type")
        if ask.me not in (name, context.node_id):
            raise ProtocolAbort(f"A letter to {ask.me!r}, this client is {name!r}")
        own = self._own(context)
        registry = _of(self.registry, context)
        require_served(own, registry)
        content = without_ask(message.content)
        sent = Arrays.of(content) if content.array_records else None
        turn = Turn(
            ask,
            sent,
            own,
            self.policy,
            _of(self.ledger, context),
            self.generator.seeded,
            lambda: _run(app, message, content, context),
        )
        reply, state = respond(
            self._agreed(ask, own),
            ask.me,
            ask.letter,
            kept(context, ask.kind),
            turn.update,
            generator=self.generator,
            identity=key,
            registry=registry,
            model=None if sent is None else sent.hash,
            admit=turn.admit,
        )
        keep(context, ask.kind, state)
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

    def _key(self, context: Context) -> tuple[Party, Identity | None]:
        if self.identity is not None:
            return _of(self.identity, context)  # type: ignore[return-value]
        path = context.node_config.get(IDENTITY)
        return (context.node_id, None) if path is None else read_identity(str(path))


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


def _said(error: Exception) -> Refusal:
    """Return what a server may read of an error: what is made of public values."""
    match error:
        case Refusal():
            return error
        case BudgetExceeded():
            return Refusal(Reason.SPENT, str(error))
        case ProtocolAbort() | CompositionError():
            return Refusal(Reason.REFUSED, str(error))
    return Refusal(Reason.FAILED, f"{type(error).__name__} in this client; its log says more")


def _unexpected(error: Exception) -> Exception | None:
    known = (Refusal, BudgetExceeded, ProtocolAbort, CompositionError)
    return None if isinstance(error, known) and error.__cause__ is None else error
