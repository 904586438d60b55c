"""A grid inside this process."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import NoReturn

from flwr.app import Context, Error, Message, RecordDict, UserConfig
from flwr.serverapp import Grid

from privfl.core import require, require_count
from privfl.flower._letters import with_content
from privfl.flower._task_identity import act_as_server

Node = Callable[[Message, Context], Message | None]

APP_RAISED = 2  # Flower's own code for an app that raised


class InProcessGrid(Grid):
    """Call the app of each node in this process: no Ray, no sockets, no waiting.

    Every node has a context of its own, whose state lasts. A node that raises answers with an
    error, as in a deployment; one that returns None does not answer.

    Args:
        app: the ``ClientApp``, or a function from a message and a context to a reply.
        nodes: how many, or the node's own configuration for each. They are called 1, 2, …, and
            where only their number is given they know their ``partition-id``, from 0, and
            ``num-partitions``.
        run_config: what ``context.run_config`` holds.

    >>> from flwr.app import MetricRecord
    >>> def app(message, context):
    ...     seen = MetricRecord({"me": context.node_id})
    ...     return Message(RecordDict({"seen": seen}), reply_to=message)
    >>> grid = InProcessGrid(app, nodes=3)
    >>> asks = [Message(RecordDict(), node, "query") for node in grid.get_node_ids()]
    >>> [reply.content["seen"]["me"] for reply in grid.send_and_receive(asks)]
    [1, 2, 3]
    """

    def __init__(
        self,
        app: Node,
        nodes: int | Sequence[UserConfig],
        *,
        run_config: Mapping[str, bool | float | int | str] | None = None,
    ) -> None:
        """Make the nodes' contexts."""
        act_as_server()
        if isinstance(nodes, int):
            require_count("nodes", nodes, least=1)
            nodes = [{"partition-id": k, "num-partitions": nodes} for k in range(nodes)]
        require(len(nodes) > 0, "nodes must hold at least one node's configuration", "none")
        self.app = app
        self.contexts = {
            node: Context(0, node, dict(config), RecordDict(), dict(run_config or {}))
            for node, config in enumerate(nodes, start=1)
        }
        self._numbers = count()
        self._waiting: dict[str, Message] = {}

    def set_run(self, run: object) -> None:
        """Take no run: there is only one."""

    @property
    def run(self) -> NoReturn:
        """There is no run to tell about."""
        raise ValueError("An InProcessGrid has no run. Pass what the app asks for as run_config=.")

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a message to a node."""
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> list[int]:
        """Return the names of the nodes."""
        return list(self.contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Deliver messages at once, and keep the replies."""
        sent = []
        for message in messages:
            sent.append(str(next(self._numbers)))
            reply = self._delivered(message)
            if reply is not None:
                self._waiting[sent[-1]] = reply
        return sent

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies that are there, each once."""
        return [self._waiting.pop(each) for each in message_ids if each in self._waiting]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Deliver messages and return the replies; nobody is waited for."""
        return self.pull_messages(self.push_messages(messages))

    def _delivered(self, message: Message) -> Message | None:
        # nothing that changes is shared: a strategy sends one content to all
        letter = with_content(message, _own_records(message.content))
        context = self.contexts[message.metadata.dst_node_id]
        try:
            reply = self.app(letter, context)
        except Exception as error:
            return Message(Error(APP_RAISED, f"{type(error).__name__}: {error}"), reply_to=letter)
        if reply is not None and reply.has_content():
            reply.content = _own_records(reply.content)
        return reply


def _own_records(content: RecordDict) -> RecordDict:
    return RecordDict({name: type(record)(dict(record)) for name, record in content.items()})  # type: ignore[arg-type]
