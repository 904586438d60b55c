"""What the server does."""

from pathlib import Path

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg, Result

from flower_digits.report import Report
from flower_digits.shield import Settings, shield
from flower_digits.task import make_model
from privfl import Ledger
from privfl.core import Registry, Scalar
from privfl.flower import guard

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train as the run's settings say."""
    federate(grid, context.run_config)


def make_strategy() -> FedAvg:
    """Make the strategy: all clients that are there, and five at least."""
    return FedAvg(min_train_nodes=5, min_evaluate_nodes=5, min_available_nodes=5)


def federate(grid: Grid, settings: Settings) -> Result:
    """Average what at least five and at most all clients trained, round by round.

    A run that finds what an earlier one left in the server's folder goes on from there.
    """
    folder, agreed = Path(str(settings["folder"])) / "server", shield(settings)
    registry, ledger = Registry.read(folder / "registry.toml"), None
    if agreed.contract.claims_privacy:
        ledger = Ledger(folder / "ledger.db").datasets({k: f"client {k}" for k in registry})
    strategy = guard(
        make_strategy(),
        agreed,
        registry=registry,
        ledger=ledger,
        evaluate_metrics=[Scalar("accuracy", bound=1.0)] if settings["evaluate"] else [],
        checkpoint=folder / "checkpoint",
    )
    return strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(make_model(int(settings["seed"])).state_dict()),
        num_rounds=int(settings["rounds"]) - strategy.n_rounds,
        timeout=float(settings["timeout"]),
        evaluate_fn=Report(folder / "report.jsonl", strategy),
    )
