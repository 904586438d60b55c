"""Who is who: nodes of Flower and clients of the protocol."""

import logging
import secrets
from collections.abc import Sequence

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from privfl.core import Party, ProtocolAbort, Registry
from privfl.flower._introduction import name_of
from privfl.flower._letters import Ask, answered, with_content
from privfl.flower._refusal import Refusal

logger = logging.getLogger("flwr")


class Names:
    """Know each node by its name in the registry, which it is asked for once; or by its number.

    Attributes:
        registry: the public keys of the clients; without one, nodes are numbers.
        known: the names of those who introduced themselves, by node.
    """

    def __init__(self, registry: Registry | None) -> None:
        """Know nobody."""
        self.registry = registry
        self.known: dict[int, Party] = {}

    def of(
        self, messages: Sequence[Message], grid: Grid, timeout: float | None
    ) -> dict[Party, Message]:
        """Return each message by the name of whom it is for, sorted; strangers are left out."""
        nodes = {message.metadata.dst_node_id: message for message in messages}
        if self.registry is None:
            return {node: nodes[node] for node in sorted(nodes)}
        strangers = [message for node, message in nodes.items() if node not in self.known]
        if strangers:
            self._ask(strangers, grid, timeout, self.registry)
        named = {self.known[node]: message for node, message in nodes.items() if node in self.known}
        return {who: named[who] for who in sorted(named, key=lambda x: (isinstance(x, str), x))}

    def _ask(
        self, messages: Sequence[Message], grid: Grid, timeout: float | None, registry: Registry
    ) -> None:
        nonce = secrets.token_bytes(16)
        hello = Ask("hello", "", "", "", nonce).into(RecordDict())
        sent = [with_content(message, hello) for message in messages]
        for reply in grid.send_and_receive(sent, timeout=timeout):
            node = reply.metadata.src_node_id
            try:
                name = name_of(answered(reply), nonce, node, registry)
            except (Refusal, ProtocolAbort) as error:
                logger.warning("privfl: node %d is nobody known. %s", node, error)
                continue
            # a node that comes back under another number takes its name along
            self.known = {other: who for other, who in self.known.items() if who != name}
            self.known[node] = name
