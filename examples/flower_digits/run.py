"""Train in this process: centralised, by plain FedAvg, then with one more line each."""

import logging
import tempfile
import time
import tomllib
from pathlib import Path

import torch
from deal import deal
from flower_digits import client_app
from flower_digits.report import epsilons
from flower_digits.server_app import federate, make_strategy
from flower_digits.shield import Settings
from flower_digits.task import load_images, make_model, test, train
from flwr.app import ArrayRecord
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import Result
from link import APP

from privfl import Ledger
from privfl.data import mnist_sample
from privfl.flower import InProcessGrid

N_CLIENTS = 10
DELTA = 1e-5  # below one over the number of images
DEFAULTS: Settings = tomllib.loads((APP / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "flwr"
]["app"]["config"]
LINES: dict[str, Settings] = {
    "clip": {"shield": "clip"},
    "masks": {"shield": "masks"},
    "robust rule": {"shield": "robust"},
    "noise on the mean": {"shield": "noise", "evaluate": False},
    "noise in each step": {
        "shield": "clip",
        "clip-norm": 5.0,
        "record-noise-multiplier": 1.0,
        "evaluate": False,
    },
}


def centralised(folders: list[Path]) -> float:
    """Train on all clients' images in one place, for as many epochs as there are rounds."""
    model, datas = make_model(), [load_images(folder)[0] for folder in folders]
    x, y = (torch.cat(column) for column in zip(*datas, strict=True))
    train(model, (x, y), seed=0, epochs=int(DEFAULTS["rounds"]))
    return test(model, mnist_sample().test)


def plain(settings: Settings) -> Result:
    """Train by Flower alone: the same app without the mod and without the guard."""
    app = ClientApp()
    app.train()(client_app.train_on_own_images)
    app.evaluate()(client_app.test_on_own_images)
    return make_strategy().start(
        InProcessGrid(app, N_CLIENTS, run_config=settings),
        ArrayRecord(make_model().state_dict()),
        int(settings["rounds"]),
    )


def guarded(settings: Settings) -> Result:
    """Train by the app as it is."""
    return federate(InProcessGrid(client_app.app, N_CLIENTS, run_config=settings), settings)


def tell(name: str, began: float, root: Path, folders: list[Path], result: Result) -> None:
    """Print how the last model does on the server's images and on the clients' own."""
    model = make_model()
    model.load_state_dict(result.arrays.to_torch_state_dict())
    own = list(result.evaluate_metrics_clientapp.values())
    average = f"{own[-1]['accuracy']:.3f}" if own else ""
    say(name, f"{test(model, mnist_sample().test):.3f}", average, spent(root, folders), began)


def say(name: str, accuracy: str, own: str, epsilon: str, began: float | None) -> None:
    """Print a row of the table."""
    seconds = "seconds" if began is None else f"{time.monotonic() - began:.0f}"
    print(f"{name:22}{accuracy:>9}{own:>13}{epsilon:>14}{seconds:>9}", flush=True)


def spent(root: Path, folders: list[Path]) -> str:
    """Say epsilon: of a client by the server's ledger, or of an image by the clients' own."""
    if (root / "server/ledger.db").exists():
        bounds = [Ledger(root / "server/ledger.db").epsilon(DELTA, dataset="client 0").upper]
    else:
        bounds = epsilons(folders, DELTA)
    if max(bounds) > 100:
        return "above 100"
    return f"{min(bounds):.1f} to {max(bounds):.1f}" if max(bounds) else ""


def main() -> None:
    """Train in each way, and print a line as soon as one is done."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    say("", "accuracy", "own images", "epsilon", None)
    for name, changes in {"centralised": {}, "FedAvg": {}, **LINES}.items():
        with tempfile.TemporaryDirectory(prefix="flower_digits_") as folder:
            root, began = Path(folder), time.monotonic()
            folders = deal(root, N_CLIENTS)
            settings = {**DEFAULTS, **changes, "folder": str(root)}
            match name:
                case "centralised":
                    say(name, f"{centralised(folders):.3f}", "", "", began)
                case "FedAvg":
                    tell(name, began, root, folders, plain(settings))
                case _:
                    tell(f"  + {name}", began, root, folders, guarded(settings))


if __name__ == "__main__":
    main()
