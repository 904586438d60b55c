"""Whether published results of federated algorithms have their shape here, on small data.

    python benchmarks/published_shapes.py [--seeds 5] [--only 3] [--json]

Means over five seeds, and the paired difference with its 95 % t interval, or, marked x, the ratio
(t on logarithms). Accuracies and errors are in percent. 455 s of one core, and 9 minutes on a busy
machine:

    claim: first / second               first   second  apart                 margin    verdict
    1 FedProx mu=1 / FedAvg, accuracy   66.8    33.1    33.7 [21.9, 45.4]     > 11      shown
      mu=0 / FedAvg, accuracy           66.7    33.1    33.6 [21.2, 45.9]     > 0       shown
      mu=1 / mu=0, accuracy             66.8    66.7    .11 [-4.5, 4.7]       > 0       unresolved
      mu=1 / FedAvg, training loss      1.22    2.32    -1.10 [-1.66, -.54]   < 0       shown
    2 Synthetic, q=1 / q=0, variance    366     385     x.95 [.81, 1.11]      < x.81    not shown
      mean                              81.6    81.7    -.10 [-1.9, 1.8]      > -3.6    shown
      worst tenth                       43.3    42.6    .7 [-6.4, 7.8]        > 6.2     unresolved
      unlike clients, q=5 / q=0, var.   25.5    86.3    x.29 [.23, .37]       < x.41    shown
      mean                              79.0    82.8    -3.8 [-4.1, -3.4]     > -3.6    unresolved
      worst tenth                       69.0    64.2    4.7 [3.3, 6.2]        > 13.5    not shown
    3 FedPer / FedAvg, error            2.52    12.86   x.19 [.13, .30]       < x.47    shown
      FedRep / FedAvg, error            2.34    12.86   x.18 [.11, .28]       < x.46    shown
    4 HeteroFL a-e / all a, error       4.94    3.46    x1.43 [1.31, 1.56]    < x2.11   shown
      a-e / all e, error                4.94    9.42    x.52 [.50, .55]       < x.71    shown
      a-e / all a, parameters           9707    29034   x.334                 < x.52    shown
    5 FedBuff / FedAvg, seconds         6.5     48.6    x.13 [.10, .18]       < x.55    shown
    6 FedAdam / FedAvg, accuracy        86.5    81.0    5.5 [2.7, 8.3]        > 0       shown
      FedYogi / FedAvg, accuracy        86.8    81.0    5.8 [2.8, 8.8]        > 0       shown
    7 Per-FedAvg / FedAvg, accuracy     84.3    96.8    -12.6 [-19.0, -6.1]   > 1.0     not shown

A claim is shown where the whole interval is beyond the margin, not shown where it is short of it.
The margin is half-way to what the paper reports: half of a difference, the root of a ratio. For
"close to" and "at little cost" it is twice the published loss (a ratio's square), and 0 where no
one figure is published.

Sides of one seed share data, first weights, cohorts, machines and learning rate. Rates are the
paper's in 1, .1 untuned on Synthetic in 2, and elsewhere those of .03, .1 and .3 (and 1 in 5) at
which the side compared against (FedAvg, q = 0, all wide) was best, on a seed that is not reported:
this favours that side. So were chosen FedAvg's server rate (.5, 1, 2), its step in 7
(.01, .03, .1, .3) and, on FedAdam, the adaptive rate (.003, .01, .03, .1).

What does not show. In 1 the gain comes from partial work, and what the proximal term adds is not
resolved. In 2 on Synthetic, q = 1 and 0 end alike; the paper counts clients by their examples, and
here q = 0 counts them alike already. Unlike clients were added for that reason: there q = 5 evens
out, but costs 3.8 points of the mean, and the worst gain less than on the paper's Vehicle. In 7 the
rate and step that are FedAvg's best make Per-FedAvg unsteady; at .1 and .1, on the seed that rates
were chosen on, it had 97.5 against 96.3.
"""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict

import torch
from _shapes_fairness import UnequalClients, UnlikeClients
from _shapes_machines import Machines
from _shapes_personal import OneStep, PersonalLayers
from _shapes_rows import HEAD, Claim, Row, rows
from _shapes_server import Servers
from _shapes_stragglers import Stragglers
from _shapes_widths import Widths

CLAIMS: Mapping[int, tuple[Claim, ...]] = {
    1: (Stragglers(),),
    2: (UnequalClients(), UnlikeClients()),
    3: (PersonalLayers(),),
    4: (Widths(),),
    5: (Machines(),),
    6: (Servers(),),
    7: (OneStep(),),
}


def main() -> None:
    """Print a table as rows come, or JSON at the end."""
    parser = argparse.ArgumentParser(description="Published shapes, on small data.")
    parser.add_argument("--seeds", type=int, default=5, help="paired runs of each side")
    parser.add_argument("--only", type=int, choices=CLAIMS, help="one claim, by its number")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if not args.json:
        print(f"   {HEAD}", flush=True)
    found: list[Row] = []
    for number, claim in chosen(args.only):
        start = time.process_time()
        fresh = rows(claim, args.seeds)
        found += fresh
        if not args.json:
            print("\n".join(f"{number}  {row}" for row in fresh))
            print(f"   {claim}, {time.process_time() - start:.0f} s", flush=True)
    if args.json:
        print(json.dumps([told(row) for row in found], indent=1))


def chosen(only: int | None) -> list[tuple[int, Claim]]:
    """List the claims, or those of one number."""
    numbers = CLAIMS if only is None else (only,)
    return [(number, claim) for number in numbers for claim in CLAIMS[number]]


def told(row: Row) -> dict[str, object]:
    """Name what a row holds."""
    return {**asdict(row), "verdict": row.verdict}


if __name__ == "__main__":
    main()
