"""What both launchers do: train with the hardened pipeline, and say what came of it."""

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deal import deal
from flower_digits.report import epsilons, read_report
from link import Link, Settings

DELTA = 1e-5  # below one over the number of images
HARDENED: Settings = {
    "shield": "masks",
    "clip-norm": 5.0,  # DP-SGD's noise makes updates longer
    "record-noise-multiplier": 1.0,
    "evaluate": False,
}


@contextmanager
def folder() -> Iterator[Path]:
    """Lend a folder that is gone afterwards, also where the program is told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(128 + signal.SIGINT))
    root = Path(tempfile.mkdtemp(prefix="flower_digits_"))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def launch(
    start: Callable[[Path, list[Path]], Link],
    *,
    clients: int,
    rounds: int,
    federation: Settings | None = None,
) -> int:
    """Deal, start, train, and say how it went; return 0 where every round had a sum."""
    began = time.monotonic()
    with folder() as root:
        folders = deal(root, clients)
        with start(root, folders) as link:
            print(f"started after {time.monotonic() - began:.0f} s", flush=True)
            run = link.submit({**HARDENED, "folder": str(root), "rounds": rounds}, federation)
            link.follow(run)
            status = link.status(run)
        good = conclude(root, folders, rounds) and status == "finished:completed"
        if not good:
            show_logs(root)
    print(f"The run is {status}, after {time.monotonic() - began:.0f} s.")
    return 0 if good else 1


def conclude(root: Path, folders: list[Path], rounds: int) -> bool:
    """Print accuracy, survivors and epsilon; tell whether each round had a sum."""
    lines = read_report(root / "server/report.jsonl")
    for line in lines:
        said = line.aborted or f"{line.survivors} of {line.clients} clients in the sum"
        print(f"round {line.round}: accuracy {line.accuracy:.3f}, {said}")
    spent = epsilons(folders, DELTA)
    print(
        f"epsilon of an image at delta {DELTA:g}, by the clients' own ledgers: "
        f"{min(spent):.2f} to {max(spent):.2f}"
    )
    return len(lines) == rounds and not any(line.aborted for line in lines)


def show_logs(root: Path) -> None:
    """Print the end of each process's log."""
    for log in sorted((root / "logs").glob("*.log")):
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        print(f"--- {log.name}", *tail, sep="\n")
