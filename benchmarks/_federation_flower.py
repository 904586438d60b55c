"""Rounds of Flower's simulation, in a process of its own that waits for its turn."""

import os
import tempfile
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection

os.environ |= {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray warns until this is said
    "RAY_raylet_start_wait_time_s": "120",  # Ray gives up early on a busy machine
    "OMP_NUM_THREADS": "1",
}

import logging

import torch
from _federation_task import Task, in_order, train
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from torch import Tensor, nn

client = ClientApp()


@client.train()
def _train(message: Message, context: Context) -> Message:
    config = message.content["config"]
    task = Task(str(config["parameters"]), config["n"])
    images = in_order(task)[int(context.node_config["partition-id"])]
    worker = _worker(task)
    worker.load_state_dict(message.content["arrays"].to_torch_state_dict())
    train(worker, images)
    reply = {
        "arrays": ArrayRecord(worker.state_dict()),
        "metrics": MetricRecord({"num-examples": len(images[1])}),
    }
    return Message(RecordDict(reply), reply_to=message)


@cache
def _worker(task: Task) -> nn.Module:
    """Make the model of a Ray worker, which all its clients use."""
    torch.set_num_threads(1)
    return task.model()


def _server(task: Task, rounds: int, turns: Connection) -> ServerApp:
    """Make a server that waits for a turn before each round but the first."""
    app = ServerApp()

    def between(server_round: int, arrays: ArrayRecord) -> None:
        if server_round:
            turns.send(_flat(arrays) if server_round == 1 else None)
        if 0 < server_round < rounds:
            turns.recv()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        del context
        start = ArrayRecord(task.model().state_dict())
        config = ConfigRecord({"parameters": task.parameters, "n": task.n})
        strategy = FedAvg(fraction_evaluate=0.0)
        strategy.start(grid, start, rounds, train_config=config, evaluate_fn=between)

    return app


def _flat(arrays: ArrayRecord) -> Tensor:
    return torch.cat([array.reshape(-1) for array in arrays.to_torch_state_dict().values()])


def _simulate(task: Task, rounds: int, workers: int, turns: Connection) -> None:
    """Say that everything is imported, wait for the first turn, and run."""
    torch.set_num_threads(1)
    logging.getLogger("flwr").setLevel(logging.ERROR)
    turns.send(None)
    turns.recv()
    with tempfile.TemporaryDirectory(prefix="flwr_") as home:
        os.environ["FLWR_HOME"] = home
        config = {
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"num_cpus": workers, "_temp_dir": home, "log_to_driver": False},
        }
        run_simulation(_server(task, rounds, turns), client, task.n, backend_config=config)


class FlowerRounds:
    """Run FedAvg on Ray workers of one CPU each. The first round starts Ray."""

    def __init__(self, task: Task, rounds: int, workers: int) -> None:
        spawn = get_context("spawn")
        self.turns, theirs = spawn.Pipe()
        self.process = spawn.Process(target=_simulate, args=(task, rounds, workers, theirs))
        self.process.start()
        theirs.close()
        self.turns.recv()
        self.first: Tensor | None = None

    def __call__(self) -> None:
        """Run a round."""
        self.turns.send(None)
        found = self.turns.recv()
        self.first = found if self.first is None else self.first

    def weights(self) -> Tensor:
        """Return the global model's after the first round."""
        if self.first is None:
            raise RuntimeError("No round was run.")
        return self.first

    def close(self) -> None:
        """End the simulation, and wait until Ray is gone."""
        self.turns.close()
        self.process.join()
