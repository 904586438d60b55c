"""A server that writes down all that it receives, and what came of each round."""

import json
from pathlib import Path

import numpy as np
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

from faulty_app.shield import KEYS, generator, shield
from flower.apps_for_tests import record
from flower.client_process import content_of
from flower.exact_updates import NAMES, START, N, floats
from privfl import Ledger
from privfl.core import encode
from privfl.flower import guard

app = ServerApp()


class RecordingGrid:
    """Hand on, and write every reply down."""

    def __init__(self, grid, path):
        self._grid, self._path = grid, path

    def __getattr__(self, name):
        return getattr(self._grid, name)

    def send_and_receive(self, messages, *, timeout=None):
        replies = list(self._grid.send_and_receive(messages, timeout=timeout))
        with self._path.open("ab") as file:
            for reply in replies:
                file.write(encode(content_of(reply)))
        return replies


@app.main()
def main(grid, context):
    """Run guarded rounds with all clients."""
    settings = context.run_config
    folder, name = Path(settings["folder"]), settings["shield"]
    ledger = Ledger(folder / "run.db").datasets({who: f"clinic-{who}" for who in NAMES})
    strategy = guard(
        FedAvg(fraction_evaluate=0.0, min_train_nodes=N, min_available_nodes=N),
        shield(settings),
        ledger=ledger,
        registry=KEYS.registry,
        checkpoint=folder / f"{name}.ckpt",
        generator=generator(settings),
    )

    def report(server_round, arrays):
        last = strategy.history[-1] if server_round else None
        line = {
            "model": arrays["w"].numpy().tolist(),
            "survivors": last.survivors if last else None,
            "aborted": last.aborted if last else "",
            "rejected": dict(last.rejected) if last else {},
        }
        with (folder / f"{name}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    start = floats(START) if name == "exact" else np.zeros_like(floats(START))
    strategy.start(
        RecordingGrid(grid, folder / "wire"),
        record(w=start),
        num_rounds=int(settings["rounds"]),
        timeout=float(settings["timeout"]),
        evaluate_fn=report,
    )
