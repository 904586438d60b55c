"""How each round went, a line each in a file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from flwr.app import ArrayRecord, MetricRecord

from flower_digits.task import make_model, test
from privfl import Ledger
from privfl.data import mnist_sample
from privfl.flower import Guarded


@dataclass(frozen=True)
class Line:
    """One round: the model's accuracy after it, and who was in the sum."""

    round: int
    accuracy: float
    survivors: int
    clients: int
    aborted: str = ""


class Report:
    """Test the model after each round, and write down how the round went."""

    def __init__(self, path: Path, strategy: Guarded) -> None:
        """Go on where an earlier run of the app has stopped."""
        self.path, self.strategy = path, strategy

    def __call__(self, server_round: int, arrays: ArrayRecord) -> MetricRecord:
        """Test on a thousand images that no client has."""
        model = make_model()
        model.load_state_dict(arrays.to_torch_state_dict())
        accuracy = test(model, mnist_sample().test)
        if server_round > 0:
            self._write(accuracy)
        return MetricRecord({"accuracy": accuracy})

    def _write(self, accuracy: float) -> None:
        trained = [each for each in self.strategy.history if each.kind == "train"]
        number, last = len(read_report(self.path)) + 1, trained[-1]
        line = Line(number, round(accuracy, 4), len(last.survivors), last.n_clients, last.aborted)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(line)) + "\n")


def read_report(path: Path) -> list[Line]:
    """Read what `Report` wrote, nothing where no round has ended."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Line(**json.loads(line)) for line in lines]


def epsilons(folders: list[Path], delta: float) -> list[float]:
    """Return what an image of each client has spent, by the client's own ledger; 0 without one."""
    files = [folder / "ledger.db" for folder in folders]
    return [Ledger(file).epsilon(delta).upper if file.exists() else 0.0 for file in files]
