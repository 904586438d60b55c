"""A federation round beside the loop it replaces, and clients trained as one batch."""

import copy
import statistics
import time
from collections.abc import Callable

import torch
from _federation_task import LOSS, Images, dealt
from torch import nn

from privfl import Federation, Pipeline
from privfl.defenses.dp import Clip, LocalGaussianNoise
from privfl.learning import LocalSGD, TogetherSGD

LOCAL = LocalSGD(lr=0.2, steps=6)

Seconds = dict[str, float]


def bare_round(model: nn.Module, parts: list[Images]) -> None:
    """Run FedAvg as a loop of state_dicts, as people write it."""
    states = []
    for x, y in parts:
        worker = copy.deepcopy(model)
        optimizer = torch.optim.SGD(worker.parameters(), lr=LOCAL.lr)
        for batch in torch.randperm(len(x)).split(LOCAL.batch_size)[: LOCAL.steps]:
            optimizer.zero_grad()
            LOSS(worker(x[batch]), y[batch]).backward()
            optimizer.step()
        states.append(worker.state_dict())
    mean = {name: sum(state[name] for state in states) / len(states) for name in states[0]}
    model.load_state_dict(mean)


def interleaved(jobs: dict[str, Callable[[], object]], rounds: int) -> Seconds:
    """Time the jobs in turn, so that a busy machine is busy for all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def beside_the_loop(make: Callable[[], nn.Module], rounds: int) -> Seconds:
    """Return seconds a round of the bare loop and of federations."""
    bare, parts = make(), dealt(10)
    shields = {
        "federation": Pipeline(),
        "with Clip": Pipeline(Clip(1.0)),
        "with Clip and local noise": Pipeline(Clip(1.0), LocalGaussianNoise(0.1)),
    }
    jobs: dict[str, Callable[[], object]] = {"bare loop": lambda: bare_round(bare, parts)}
    for name, shield in shields.items():
        jobs[name] = Federation(make(), parts, shield, loss=LOSS, local=LOCAL).round
    return interleaved(jobs, rounds)


def together(make: Callable[[], nn.Module], rounds: int) -> Seconds:
    """Return how many times faster training clients as one batch is, by number of clients."""
    found = {}
    for n in (10, 50, 100):
        jobs: dict[str, Callable[[], object]] = {}
        for trainer in (LocalSGD(lr=0.2, batch_size=32, steps=1), TogetherSGD(lr=0.2, steps=1)):
            federation = Federation(make(), dealt(n), Pipeline(), loss=LOSS, local=trainer)
            jobs[type(trainer).__name__] = federation.round
        seconds = interleaved(jobs, rounds)
        found[f"{n} clients"] = seconds["LocalSGD"] / seconds["TogetherSGD"]
    return found
