"""One federation's rounds in privfl, pfl-research and Flower's simulation, in turn."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from _federation_task import LOCAL, LOSS, Task, dealt, flat
from torch import Tensor

from privfl import Federation, Pipeline

ROUNDING = 1e-5


class Engine(Protocol):
    """Run one round a call."""

    def __call__(self) -> None:
        """Run a round."""

    def weights(self) -> Tensor:
        """Return the global model's, after the first round."""

    def close(self) -> None:
        """End what runs elsewhere."""


class PrivflRounds:
    """Run FedAvg of privfl, without a defence."""

    def __init__(self, task: Task) -> None:
        self.federation = Federation(
            task.model(),
            dealt(task.n),
            Pipeline(),
            loss=LOSS,
            local=LOCAL,
            generator=task.stream(),
        )

    def __call__(self) -> None:
        """Run a round."""
        self.federation.round()

    def weights(self) -> Tensor:
        """Return the global model's."""
        return flat(self.federation.model)

    def close(self) -> None:
        """Do nothing: everything is in this process."""


@dataclass(frozen=True)
class Compared:
    """Hold what each engine's rounds took.

    Attributes:
        parameters: of the model.
        n: clients.
        first: seconds of the first round, in which everything starts.
        seconds: of a later round, the median.
        difference: the largest of a weight from privfl's, after the first round.
    """

    parameters: str
    n: int
    first: dict[str, float]
    seconds: dict[str, float]
    difference: dict[str, float]


def missing() -> list[str]:
    """Return the packages of peers that are not installed."""
    return [name for name in ("pfl", "flwr", "ray") if find_spec(name) is None]


def compare(task: Task, rounds: int, workers: int) -> Compared:
    """Time ``rounds`` rounds after the first, all engines in turn."""
    engines = _engines(task, 1 + rounds, workers)
    try:
        first = {name: _timed(engine) for name, engine in engines.items()}
        apart = _difference({name: engine.weights() for name, engine in engines.items()})
        later = [{name: _timed(engine) for name, engine in engines.items()} for _ in range(rounds)]
    finally:
        for engine in engines.values():
            engine.close()
    seconds = {name: statistics.median(times[name] for times in later) for name in engines}
    return Compared(task.parameters, task.n, first, seconds, apart)


def _engines(task: Task, rounds: int, workers: int) -> dict[str, Engine]:
    engines: dict[str, Engine] = {"privfl": PrivflRounds(task)}
    if "pfl" not in missing():
        from _federation_pfl import PflRounds

        engines["pfl"] = PflRounds(task)
    if not {"flwr", "ray"} & {*missing()}:
        from _federation_flower import FlowerRounds

        engines["Flower"] = FlowerRounds(task, rounds, workers)
    return engines


def _difference(weights: dict[str, Tensor]) -> dict[str, float]:
    """Return how far each model is from privfl's, and stop where that is more than rounding."""
    ours = weights.pop("privfl")
    apart = {name: float((theirs - ours).abs().max()) for name, theirs in weights.items()}
    if any(value > ROUNDING for value in apart.values()):
        raise RuntimeError(f"Models differ by at most {ROUNDING} after one round. Found {apart}.")
    return apart


def _timed(engine: Callable[[], None]) -> float:
    start = time.perf_counter()
    engine()
    return time.perf_counter() - start
