"""A federation round beside the bare loop it replaces and beside other engines, in one run.

    pip install -c constraints.txt -e ".[bench]"
    pip install -c constraints.txt --no-deps pfl
    python benchmarks/federation.py [--json] [--only bare together engines growth]

- *bare*: FedAvg as a loop of state_dicts, and the same round under a federation, as ratios: 1.00 is
  free.
- *together*: clients trained as one batch, and one by one.
- *engines*: FedAvg of 50 and 100 clients in privfl, pfl-research 0.6 and Flower 1.41's simulation
  on Ray: the same model, weights and images, five steps of ten images a client, one torch thread.
  Rounds take turns, and after the first one all models must be the same up to rounding. Flower runs
  in a process of its own, with ``--workers`` Ray workers of one CPU (1: as many as the others use;
  its server is beside them); the time between two of its rounds counts, and what starts Ray is
  told apart.
- *growth*: rounds of 10 to 1,000 clients of five images each, and the most memory they took.

pfl goes in without its dependencies: it asks for an older dp-accounting than privfl, and accounts
for nothing here. A peer that is not installed is left out.
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Mapping
from dataclasses import asdict

import torch
from _federation_bare import Seconds, beside_the_loop, together
from _federation_growth import Grown, growth
from _federation_peers import Compared, compare, missing
from _federation_task import MODELS, Task

from privfl.evaluate import Scenario

SIZES = [10, 30, 100, 300, 1000]


def tell_bare(found: Mapping[str, Seconds]) -> None:
    """Print ratios to the bare loop."""
    for model, seconds in found.items():
        base = seconds["bare loop"]
        print(f"{model}: bare loop {1000 * base:.1f} ms a round of ten clients")
        for name, value in seconds.items():
            print(f"  {name:<28} {value / base:.3f}")


def tell_together(found: Mapping[str, Seconds]) -> None:
    """Print how many times faster."""
    for model, ratios in found.items():
        told = ", ".join(f"{n}: {ratio:.2f}" for n, ratio in ratios.items())
        print(f"{model}, one step, all clients as one batch, times faster than one by one: {told}")


def tell_engines(found: list[Compared]) -> None:
    """Print seconds a round, how many times privfl's, and how far the models are from it."""
    for package in missing():
        print(f"{package} is not installed: what needs it is left out")
    for c in found:
        print(f"{c.parameters} parameters, {c.n} clients: seconds a round, and times privfl's")
        for name, value in c.seconds.items():
            ratio, start = value / c.seconds["privfl"], c.first[name] - value
            print(f"  {name:<8}{value:>9.3f}{ratio:>7.2f}   the first took {start:+.1f} s")
        apart = ", ".join(f"{name} {value:.1e}" for name, value in c.difference.items())
        print(f"  largest difference of the models after one round: {apart}")


def tell_growth(found: list[Grown]) -> None:
    """Print a table."""
    print(f"{'clients':>8}{'s a round':>11}{'ms a client':>13}{'peak MB':>9}{'before':>8}")
    for g in found:
        times = f"{g.seconds:>11.3f}{1000 * g.per_client:>13.2f}"
        print(f"{g.n:>8}{times}{g.megabytes:>9.0f}{g.before:>8.0f}")


def main() -> None:
    """Measure section by section, and print tables, or JSON at the end."""
    scenario = Scenario.digits()
    cnn, mlp = scenario.model, scenario.twin or scenario.model
    tasks = [Task(parameters, n) for parameters in MODELS for n in (50, 100)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--rounds", type=int, default=12, help="of bare and together")
    parser.add_argument("--engine-rounds", type=int, default=4, help="of engines, after the first")
    parser.add_argument("--workers", type=int, default=1, help="of Flower's simulation")
    names = ["bare", "together", "engines", "growth"]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    args = parser.parse_args()
    torch.set_num_threads(1)
    measured = {
        "bare": lambda: {
            "CNN, 28,938 parameters": beside_the_loop(cnn, args.rounds),
            "MLP, 50,890 parameters": beside_the_loop(mlp, args.rounds),
        },
        "together": lambda: {"CNN": together(cnn, args.rounds), "MLP": together(mlp, args.rounds)},
        "engines": lambda: [compare(task, args.engine_rounds, args.workers) for task in tasks],
        "growth": lambda: growth(SIZES, rounds=2),
    }
    tell = {
        "bare": tell_bare,
        "together": tell_together,
        "engines": tell_engines,
        "growth": tell_growth,
    }
    found = {}
    for name in args.only:
        found[name] = measured[name]()
        if not args.json:
            tell[name](found[name])
    if args.json:
        print(json.dumps(found, indent=1, default=asdict))


if __name__ == "__main__":
    main()
