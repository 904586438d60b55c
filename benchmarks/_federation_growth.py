"""How a round's time and memory grow with the number of clients."""

import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from _federation_task import LOCAL, LOSS, Task, dealt

from privfl import Federation, Pipeline

MOST = 1000


@dataclass(frozen=True)
class Grown:
    """Hold what rounds of ``n`` clients took.

    Attributes:
        n: clients, of five images each whatever ``n`` is.
        seconds: of a round, the median.
        megabytes: most resident memory of a process that did nothing else.
        before: the same, when all was imported and the clients had their images.
    """

    n: int
    seconds: float
    megabytes: float
    before: float

    @property
    def per_client(self) -> float:
        """Seconds of a round and client."""
        return self.seconds / self.n


def growth(sizes: list[int], rounds: int) -> list[Grown]:
    """Measure each size in a process of its own."""
    spawn = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        return [pool.submit(_grown, n, rounds).result() for n in sizes]


def _grown(n: int, rounds: int) -> Grown:
    torch.set_num_threads(1)
    images, task = dealt(MOST)[:n], Task("28,938", n)
    federation = Federation(task.model(), images, Pipeline(), loss=LOSS, local=LOCAL)
    before, times = _most_megabytes(), []
    for _ in range(1 + rounds):
        start = time.perf_counter()
        federation.round()
        times.append(time.perf_counter() - start)
    return Grown(n, statistics.median(times[1:]), _most_megabytes(), before)


def _most_megabytes() -> float:
    """Read the peak of this process alone: what ``getrusage`` says counts the parent's memory."""
    status = Path("/proc/self/status").read_text().splitlines()
    (peak,) = [line.split()[1] for line in status if line.startswith("VmHWM")]
    return int(peak) / 1024
