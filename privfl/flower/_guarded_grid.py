"""Flower's grid, with the guard between it and a strategy."""

from collections.abc import Iterable
from typing import Any, NoReturn

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from privfl.core import CompositionError
from privfl.flower._guarded_rounds import GuardedRounds


class GuardedGrid(Grid):
    """Send a strategy's messages as rounds of the pipeline, and refuse all other ways."""

    def __init__(self, grid: Grid, rounds: GuardedRounds) -> None:
        """Stand in front of ``grid``."""
        self.grid, self.rounds = grid, rounds

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Run a round with those who are written to, and return one reply or none."""
        return self.rounds.run(list(messages), self.grid, timeout)

    def push_messages(self, messages: Iterable[Message]) -> NoReturn:
        """Refuse: what is pushed around the guard is not protected."""
        self._refuse("push_messages")

    def pull_messages(self, message_ids: Iterable[str]) -> NoReturn:
        """Refuse: what is pulled around the guard was not protected."""
        self._refuse("pull_messages")

    def _refuse(self, name: str) -> NoReturn:
        raise CompositionError(
            "R7",
            (self.rounds.shield,),
            f"grid.{name} goes around the guard",
            "Use grid.send_and_receive",
        )

    def set_run(self, run: Any) -> None:
        """Hand on."""
        self.grid.set_run(run)

    @property
    def run(self) -> Any:
        """Hand on."""
        return self.grid.run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Hand on."""
        return self.grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """Hand on."""
        return self.grid.get_node_ids()

    def get_nodes(self) -> Iterable[Any]:
        """Hand on."""
        return self.grid.get_nodes()
