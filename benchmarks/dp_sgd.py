"""A private step beside Opacus's own, and private local training beside plain: one run.

    python benchmarks/dp_sgd.py [--json]

Steps of `make_private` and of Opacus's ``PrivacyEngine.make_private`` (hooks), on the demo's CNN of
28,938 parameters at batches of about 256, are taken in turn on one thread, each with its draw,
loading, forward and backward pass; ratios are of medians. Then `DPSGD` beside `LocalSGD`, six steps
of 32.

Seen on two busy cores, over several runs: the fastest way takes .81 to .85 of Opacus's time on the
CNN and .12 to .15 on the MLP, the same hooks 1.06 to 1.19; `DPSGD` takes 2.2 to 2.7 times what
`LocalSGD` takes on the CNN, and 8 to 10 times on the MLP.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import torch
from opacus import PrivacyEngine
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from privfl.crypto import Stream
from privfl.data import mnist_sample
from privfl.defenses.dp import DPSGD, make_private
from privfl.evaluate import Scenario
from privfl.learning import LocalSGD

LOSS = nn.functional.cross_entropy
SETTINGS: dict[str, Any] = {"noise_multiplier": 1.0}
Job = Callable[[], object]


def step_of(
    model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader[Any]
) -> Callable[[], None]:
    """Return a function that takes one step of a user's loop."""
    batches: Iterator[Any] = (batch for _ in count() for batch in loader)

    def step() -> None:
        x, y = next(batches)
        optimizer.zero_grad()
        LOSS(model(x), y).backward()
        optimizer.step()

    return step


def plain(
    make: Callable[[], nn.Module], batch: int
) -> tuple[nn.Module, torch.optim.SGD, DataLoader[Any]]:
    """Return what both wrap."""
    model = make()
    loader = DataLoader(TensorDataset(*mnist_sample().train), batch_size=batch, shuffle=True)
    return model, torch.optim.SGD(model.parameters(), lr=0.1), loader


def steps(make: Callable[[], nn.Module], batch: int) -> dict[str, Job]:
    """Return one step of each kind."""
    model, optimizer, loader = plain(make, batch)
    theirs = PrivacyEngine().make_private(
        module=model, optimizer=optimizer, data_loader=loader, max_grad_norm=1.0, **SETTINGS
    )
    jobs: dict[str, Job] = {"Opacus, hooks": step_of(*theirs)}
    for way in (None, "hooks", "functorch", "ghost"):
        ours = make_private(
            *plain(make, batch), clip_norm=1.0, ledger=None, gradients=way, **SETTINGS
        )
        jobs[f"privfl, {way or 'fastest'}"] = step_of(*ours)
    jobs["no privacy"] = step_of(*plain(make, batch))
    return jobs


def trainers(make: Callable[[], nn.Module]) -> dict[str, Job]:
    """Return six steps of local training of each kind."""
    x, y = mnist_sample().train
    data, model, jobs = (x[:300], y[:300]), make(), dict[str, Job]()
    plain_one, stream = LocalSGD(lr=0.1, steps=6), Stream()
    jobs["LocalSGD"] = lambda: plain_one.train(model, data, LOSS, stream)
    for way in (None, "hooks", "functorch", "ghost"):
        trainer = DPSGD(lr=0.1, steps=6, gradients=way)
        jobs[f"DPSGD, {way or 'fastest'}"] = lambda one=trainer: one.train(  # type: ignore[misc]
            model, data, LOSS, stream
        )
    return jobs


def interleaved(jobs: dict[str, Job], repeats: int) -> dict[str, float]:
    """Return the median milliseconds of each job; a busy machine is busy for all of them alike."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            taken[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values[2:]) for name, values in taken.items()}


def main() -> None:
    """Print two tables, or JSON."""
    parser = argparse.ArgumentParser(description="Private steps beside Opacus's and plain ones.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--repeats", type=int, default=40)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # Opacus: no secure noise; torch: hooks on a first layer
    scenario = Scenario.digits()
    models = {"CNN": scenario.model, "MLP": scenario.twin or scenario.model}
    found = {
        **{
            f"{name}, a step of 256": interleaved(steps(m, 256), args.repeats)
            for name, m in models.items()
        },
        **{
            f"{name}, six of 32": interleaved(trainers(m), args.repeats)
            for name, m in models.items()
        },
    }
    if args.json:
        print(json.dumps(found, indent=1))
        return
    for title, times in found.items():
        base = next(iter(times.values()))
        print(f"{title}: {next(iter(times))} {base:.1f} ms")
        for name, value in times.items():
            print(f"  {name:<22}{value:>8.1f} ms   {value / base:.3f}")


if __name__ == "__main__":
    main()
