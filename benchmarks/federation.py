"""A federation round against the bare loop it replaces: same data, same batches, one run.

    python benchmarks/federation.py [--json]

Prints the ratio of medians over rounds; 1.00 is free.
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from privfl import Federation, Pipeline
from privfl.data import mnist_sample
from privfl.defenses.dp import Clip, LocalGaussianNoise
from privfl.evaluate import Scenario
from privfl.learning import LocalSGD, TogetherSGD

LOCAL = LocalSGD(lr=0.2, steps=6)
LOSS = nn.functional.cross_entropy


def bare_round(model: nn.Module, parts: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
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


def interleaved(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Time the jobs in turn, so that a busy machine is busy for all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def measure(make: Callable[[], nn.Module], rounds: int) -> dict[str, float]:
    """Return seconds a round of the bare loop and of federations."""
    x, y = mnist_sample().train
    parts = [(x[k::10], y[k::10]) for k in range(10)]
    bare = make()
    shields = {
        "federation": Pipeline(),
        "with Clip": Pipeline(Clip(1.0)),
        "with Clip and local noise": Pipeline(Clip(1.0), LocalGaussianNoise(0.1)),
    }
    jobs: dict[str, Callable[[], object]] = {"bare loop": lambda: bare_round(bare, parts)}
    for name, shield in shields.items():
        jobs[name] = Federation(make(), parts, shield, loss=LOSS, local=LOCAL).round
    return interleaved(jobs, rounds)


def together(make: Callable[[], nn.Module], rounds: int) -> dict[str, float]:
    """Return how many times faster training clients as one batch is, by number of clients."""
    x, y = mnist_sample().train
    found = {}
    for n in (10, 50, 100):
        parts = [(x[k::n], y[k::n]) for k in range(n)]
        jobs: dict[str, Callable[[], object]] = {}
        for trainer in (LocalSGD(lr=0.2, batch_size=32, steps=1), TogetherSGD(lr=0.2, steps=1)):
            federation = Federation(make(), parts, Pipeline(), loss=LOSS, local=trainer)
            jobs[type(trainer).__name__] = federation.round
        seconds = interleaved(jobs, rounds)
        found[f"{n} clients"] = seconds["LocalSGD"] / seconds["TogetherSGD"]
    return found


def main() -> None:
    """Measure the demo's two models and print ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=12)
    args = parser.parse_args()
    torch.set_num_threads(1)
    scenario = Scenario.digits()
    found = {
        "CNN, 28,938 parameters": measure(scenario.model, args.rounds),
        "MLP, 50,890 parameters": measure(scenario.twin or scenario.model, args.rounds),
    }
    batched = {
        "CNN": together(scenario.model, args.rounds),
        "MLP": together(scenario.twin or scenario.model, args.rounds),
    }
    if args.json:
        print(json.dumps({"seconds a round": found, "together": batched}, indent=1))
        return
    for model, ratios in batched.items():
        told = ", ".join(f"{n}: {ratio:.2f}" for n, ratio in ratios.items())
        print(f"{model}, one step, all clients as one batch, times faster than one by one: {told}")
    for model, seconds in found.items():
        base = seconds["bare loop"]
        print(f"{model}: bare loop {1000 * base:.1f} ms a round of ten clients")
        for name, value in seconds.items():
            print(f"  {name:<28} {value / base:.3f}")


if __name__ == "__main__":
    main()
