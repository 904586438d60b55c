"""A Flower app that adds a constant to the model: a round costs what carries and guards it."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg, Strategy

from privfl import Pipeline
from privfl.core import Party, Registry, read_identity
from privfl.crypto import Identity
from privfl.defenses.dp import Clip
from privfl.defenses.he import BFV
from privfl.defenses.masking import SecAgg
from privfl.flower import client_mod, guard
from privfl.parts import Mean, Weigh

EXAMPLES = 10  # each client has as many
uniform = frozenset({"uniform_weights"})
PIPELINES = {
    "mean": Pipeline(Mean(), accepting=uniform),
    "clip, weighed": Pipeline(Clip(1.0), Weigh(max_examples=EXAMPLES)),
    "clip, SecAgg": Pipeline(Clip(1.0), SecAgg(), accepting=uniform),
    "clip, BFV": Pipeline(Clip(1.0), BFV(published=True), accepting=uniform),
}

App = Callable[[Message, Context], Message]
Mod = Callable[[Message, Context, App], Message]


def model(parameters: int) -> ArrayRecord:
    """Return a model at random: of equal pieces of an array Flower would send one."""
    weights = np.random.default_rng(0).standard_normal(parameters, dtype=np.float32)
    return ArrayRecord({"weights": Array(weights)})


def strategy(pipeline: str, registry: Registry | None = None) -> Strategy:
    """Return FedAvg, guarded where a pipeline is named."""
    plain = FedAvg(fraction_evaluate=0.0)
    return guard(plain, PIPELINES[pipeline], registry=registry) if pipeline else plain


def step_of(node: int) -> np.float32:
    """Return the constant that a client adds."""
    return np.float32(1e-5 * (1 + node % 101))


def client_app(*mods: Mod) -> ClientApp:
    """Return an app whose clients add `step_of` themselves."""
    app = ClientApp(mods=list(mods))

    @app.train()
    def add(message: Message, context: Context) -> Message:
        step = step_of(context.node_id)
        record = message.content["arrays"]
        trained = ArrayRecord({name: Array(x.numpy() + step) for name, x in record.items()})
        metrics = MetricRecord({"num-examples": EXAMPLES})
        return Message(RecordDict({"arrays": trained, "metrics": metrics}), reply_to=message)

    return app


def _folder(context: Context) -> Path:
    return Path(str(context.node_config["folder"]))


def _registry(context: Context) -> Registry:
    return Registry.read(_folder(context) / "registry.toml")


def _identity(context: Context) -> tuple[Party, Identity]:
    return read_identity(_folder(context) / "identity.toml")


_guarded = client_mod(
    lambda settings: PIPELINES[str(settings["pipeline"])], registry=_registry, identity=_identity
)


def _where_named(message: Message, context: Context, app: App) -> Message:
    """Guard where the run names a pipeline: plain rounds import what guarded ones do."""
    if context.run_config["pipeline"]:
        return _guarded(message, context, app)
    return app(message, context)


client = client_app(_where_named)
server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Run rounds, and write down when each ended."""
    settings, folder = context.run_config, Path(str(context.run_config["folder"]))
    ends = []

    def note(server_round: int, arrays: ArrayRecord) -> None:
        del server_round, arrays
        ends.append(time.monotonic())

    chosen = strategy(str(settings["pipeline"]), Registry.read(folder / "registry.toml"))
    start = model(int(settings["parameters"]))
    while len(list(grid.get_node_ids())) < len(list(folder.glob("client-*"))):
        time.sleep(0.1)
    chosen.start(grid, start, num_rounds=int(settings["rounds"]), evaluate_fn=note)
    (folder / "ends.json").write_text(json.dumps(ends))
