"""Rounds of ten clients in this process: plain, guarded, and by Flower's SecAgg+."""

import logging
from collections import Counter
from collections.abc import Iterable

import numpy as np
from _flower_app.adding import EXAMPLES, PIPELINES, client_app, model, step_of, strategy
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client import NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp
from flwr.common import ndarrays_to_parameters
from flwr.compat.common.recorddict_compat import parameters_to_arrayrecord
from flwr.server import LegacyContext, ServerConfig
from flwr.server.client_manager import SimpleClientManager
from flwr.server.compat.grid_client_proxy import GridClientProxy
from flwr.server.strategy import FedAvg
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key

from privfl.core import Party, Registry
from privfl.crypto import Identity
from privfl.flower import InProcessGrid, client_mod

logging.getLogger("flwr").setLevel(logging.CRITICAL)

WIDE_STEP = 0.1  # SecAgg+ rounds whole weights: a step as small as above would drown
Numpy = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


class RecordingGrid(InProcessGrid):
    """Count the bytes of what travels to and from each node."""

    def __init__(self, app: ClientApp, nodes: int) -> None:
        super().__init__(app, nodes)
        self.forget()

    def forget(self) -> None:
        """Count from zero."""
        self.down, self.up = Counter[int](), Counter[int]()

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Count messages and replies on their way."""
        sent = list(messages)
        for message in sent:
            self.down[message.metadata.dst_node_id] += _size(message.content)
        replies = super().send_and_receive(sent, timeout=timeout)
        for reply in replies:
            self.up[reply.metadata.src_node_id] += _size(reply.content)
        return replies


def _size(content: RecordDict) -> int:
    """Return how many bytes the objects have into which Flower takes a message apart."""
    parts = (content.children or {}).values()
    return len(content.deflate()) + sum(map(_size, parts))  # type: ignore[arg-type]


class Rounds:
    """Run one round after another on the model that the last one left."""

    def __init__(
        self, pipeline: str, n: int, d: int, grid: type[InProcessGrid] = InProcessGrid
    ) -> None:
        keys = {f"client-{k}": Identity.new() for k in range(n)}
        registry = Registry({who: key.public for who, key in keys.items()})

        def identity(context: Context) -> tuple[Party, Identity]:
            return list(keys.items())[context.node_id - 1]

        signs = bool(pipeline) and PIPELINES[pipeline].protocol.signs
        known = {"registry": registry, "identity": identity} if signs else {}
        mods = [client_mod(PIPELINES[pipeline], **known)] if pipeline else []
        self.grid = grid(client_app(*mods), n)
        self.strategy = strategy(pipeline, registry if signs else None)
        self.start, self.n_rounds = model(d), 0
        self.arrays = self.start

    def __call__(self) -> None:
        """Run a round."""
        self.arrays = self.strategy.start(self.grid, self.arrays, num_rounds=1).arrays
        self.n_rounds += 1

    def require_learned(self) -> None:
        """Say where the model did not move by the mean of all clients in each round."""
        steps = [step_of(node) for node in self.grid.get_node_ids()]
        moved = self.arrays["weights"].numpy() - self.start["weights"].numpy()
        _require_moved(moved.mean(), self.n_rounds * np.mean(steps))


class SecAggPlusRounds:
    """Run rounds of Flower's own workflow and mod, at their default numbers, on a whole graph."""

    def __init__(
        self, n: int, d: int, threshold: int, grid: type[InProcessGrid] = InProcessGrid
    ) -> None:
        app = ClientApp(client_fn=lambda _: _Adding().to_client(), mods=[secaggplus_mod])
        self.grid = grid(app, n)
        self.workflow = SecAggPlusWorkflow(num_shares=n, reconstruction_threshold=threshold)
        manager = SimpleClientManager()
        for node in self.grid.get_node_ids():
            manager.register(GridClientProxy(node, self.grid, 0))
        self.context = LegacyContext(
            Context(0, 0, {}, RecordDict(), {}), ServerConfig(1), FedAvg(), manager
        )
        start = ndarrays_to_parameters([np.zeros(d, np.float32)])
        state = self.context.state
        state[MAIN_CONFIGS_RECORD] = ConfigRecord({Key.CURRENT_ROUND: 1})
        state[MAIN_PARAMS_RECORD] = parameters_to_arrayrecord(start, keep_input=True)
        self.n_rounds = 0

    def __call__(self) -> None:
        """Run a round."""
        self.workflow(self.grid, self.context)
        self.n_rounds += 1

    def require_learned(self) -> None:
        """Say where the model did not move in each round."""
        (weights,) = self.context.state.array_records[MAIN_PARAMS_RECORD].to_numpy_ndarrays()
        _require_moved(weights.mean(), self.n_rounds * WIDE_STEP)


class _Adding(NumPyClient):
    def fit(
        self, parameters: list[Numpy], config: dict[str, object]
    ) -> tuple[list[Numpy], int, dict[str, float]]:
        del config
        return [x + WIDE_STEP for x in parameters], EXAMPLES, {}


def _require_moved(found: float, wanted: float) -> None:
    if not np.isclose(found, wanted, rtol=0.05):
        raise RuntimeError(f"Rounds must have moved the model by {wanted}. Found {found}.")
