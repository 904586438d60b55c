"""How long a job takes."""

import time
from collections.abc import Callable, Iterable


def seconds(job: Callable[[], object]) -> float:
    """Time one call, in seconds of this process: other processes of a busy machine do not count."""
    start = time.process_time()
    job()
    return time.process_time() - start


def least(jobs: Iterable[Callable[[], object]], tries: int = 7) -> list[float]:
    """Return the least seconds of each job, taken in turn."""
    taken = [[seconds(job) for job in jobs] for _ in range(tries)]
    return [min(times) for times in zip(*taken, strict=True)]
