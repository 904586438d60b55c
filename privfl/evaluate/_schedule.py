"""Running tasks in order, on several processes, until the time is up."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from privfl.core import State
from privfl.evaluate._scenario import Scenario
from privfl.evaluate._store import Store
from privfl.evaluate._tasks import Task

Progress = Callable[[int, int, str], None]
_FIRST_GUESS = 4.0  # seconds, until a task of a kind was timed


@dataclass
class Schedule:
    """Run tasks in order while there is time; what does not fit is left out.

    Attributes:
        scenario, store: what every task gets.
        jobs: processes; 1 runs in this one. Each uses one torch thread: two on two cores are
            slower than one.
        deadline: on the clock of ``time.monotonic``, or None.
        progress: called with (done, total, label).
    """

    scenario: Scenario
    store: Store
    jobs: int = 1
    deadline: float | None = None
    progress: Progress | None = None
    _seconds: dict[str, float] = field(default_factory=dict)

    def run(self, tasks: Sequence[Task]) -> dict[Task, State]:
        """Return the results of the tasks that ran."""
        return self._in_process(tasks) if self.jobs == 1 else self._in_pool(tasks)

    def _in_process(self, tasks: Sequence[Task]) -> dict[Task, State]:
        results: dict[Task, State] = {}
        for task in tasks:
            if self._fits(task):
                start = time.monotonic()
                results[task] = task.run(self.scenario, self.store)
                self._seconds[task.kind] = time.monotonic() - start
                self._report(len(results), len(tasks), task)
        return results

    def _in_pool(self, tasks: Sequence[Task]) -> dict[Task, State]:
        results: dict[Task, State] = {}
        waiting, running = list(tasks), dict[Future[tuple[State, float]], Task]()
        with _pool(self.jobs, self.scenario, self.store) as pool:
            while waiting or running:
                while waiting and len(running) < self.jobs:
                    task = waiting.pop(0)
                    if self._fits(task):
                        running[pool.submit(_work, task)] = task
                done = wait(running, self._time_left(), return_when=FIRST_COMPLETED).done
                if not done:
                    break
                for future in done:
                    task = running.pop(future)
                    results[task], self._seconds[task.kind] = future.result()
                    self._report(len(results), len(tasks), task)
        return results

    def _time_left(self) -> float | None:
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def _fits(self, task: Task) -> bool:
        if self.deadline is None or self.store.get(task.key(self.scenario)) is not None:
            return True
        return time.monotonic() + self._seconds.get(task.kind, _FIRST_GUESS) < self.deadline

    def _report(self, done: int, total: int, task: Task) -> None:
        if self.progress is not None:
            self.progress(done, total, task.label)


@contextmanager
def _pool(jobs: int, scenario: Scenario, store: Store) -> Iterator[ProcessPoolExecutor]:
    """Start processes, and end those that still work when the time is up."""
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")  # forked torch threads hang
    pool = ProcessPoolExecutor(jobs, context, initializer=_start, initargs=(scenario, store))
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()


_worker: dict[str, tuple[Scenario, Store]] = {}


def _start(scenario: Scenario, store: Store) -> None:
    torch.set_num_threads(1)
    _worker["here"] = (scenario, store)


def _work(task: Task) -> tuple[State, float]:
    start = time.monotonic()
    scenario, store = _worker["here"]
    return task.run(scenario, store), time.monotonic() - start
