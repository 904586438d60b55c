"""Five hospitals of different sizes and with different patients train together.

Two studies: 569 breast tumours by 30 measures, benign or not (scikit-learn ships the table), and
6,000 pictures of ten kinds, which stand for scans and ship with privfl. The largest hospital has
about four times as many patients as the smallest, and each sees more of what it is known for.

    $ pip install privfl scikit-learn
    $ python run.py                     # both studies, a minute on one core
    $ python run.py --study images      # needs no scikit-learn
    $ python run.py --small             # a few seconds, to see that it runs
    $ python run.py --rounds 30 --deals 5

It printed once:

    tumours                    A     B     C     D     E   worst    all    AUC   epsilon   seconds
    each alone              0.97  0.93  0.94  0.94  0.96   0.929  0.943  0.994                   3
    FedAvg, by patients     0.97  0.98  0.96  0.97  0.96   0.962  0.975  0.998                   1
    FedAvg, by hospitals    0.97  0.98  0.96  0.97  0.96   0.957  0.973  0.998                   1
      q-FedAvg              0.97  0.98  0.96  0.97  0.97   0.964  0.977  0.998                   1
      two regions           0.97  0.99  0.96  0.97  0.99   0.964  0.979  0.998                   2
      clip, masks           0.97  0.98  0.96  0.97  0.96   0.957  0.973  0.998                   2
      clip, masks, DP-SGD   0.94  0.93  0.89  0.88  0.96   0.881  0.937  0.988      3.29         6
    pooled                  0.98  0.99  0.99  0.97  0.99   0.972  0.982  0.999                   0

    images                     A     B     C     D     E   worst    all    AUC   epsilon   seconds
    each alone              0.90  0.86  0.87  0.88  0.91   0.855  0.689  0.938                   4
    FedAvg, by patients     0.90  0.85  0.87  0.83  0.92   0.833  0.881  0.989                   4
    FedAvg, by hospitals    0.86  0.83  0.86  0.85  0.93   0.834  0.860  0.989                   4
      q-FedAvg              0.86  0.84  0.86  0.86  0.93   0.840  0.864  0.988                   4
      two regions           0.90  0.87  0.88  0.91  0.93   0.870  0.892  0.991                   8
      clip, masks           0.86  0.83  0.86  0.85  0.93   0.834  0.860  0.989                   5
      clip, masks, DP-SGD   0.83  0.80  0.84  0.84  0.89   0.797  0.831  0.981      3.51        11
    pooled                  0.92  0.89  0.90  0.90  0.93   0.893  0.908  0.993                   4

*A* to *E*: accuracy on the hospital's own held-out patients, A the largest on average; *worst* of
the five. *all* and *AUC*: on everybody's held-out patients, as a patient who moves would find it.
Each figure is the mean of three ways to deal the patients, and a small hospital holds out some ten:
a hundredth or two between two rows of the tumours means nothing. *epsilon* bounds at delta = 1e-4
what the server and everybody else learn of one patient; the most of any hospital, by its account.

By patients a large hospital counts for more. q-FedAvg counts hospitals with a large loss for more;
each of two regions trains and averages twice before the cloud does. Masks show the server sums
only, and DP-SGD hides each patient. The coin is the same everywhere, so patients of a small
hospital are hidden as well, and it pays with noise. Alone and pooled are the two ends: no data
moves, or all of it.

    study.py      models, learning rates, noise: what to change first
    ways.py       the pipelines and algorithms
    sites.py      the patients: let `deal` return a `Site` for each hospital
    measure.py    accuracy and AUC
"""

import argparse
import time
from dataclasses import replace

import torch
from measure import Row, averaged
from sites import SIZES, deal
from study import STUDIES, Study
from ways import WAYS, Task

from privfl.parts import Data


def title(name: str) -> str:
    """Write the head of a table."""
    sites = "".join(f"{letter:>6}" for letter in "ABCDE"[: len(SIZES)])
    return f"\n{name:22}{sites}{'worst':>8}{'all':>7}{'AUC':>7}{'epsilon':>10}{'seconds':>10}"


def line(name: str, row: Row, began: float) -> str:
    """Write a row of the table."""
    own = "".join(f"{share:6.2f}" for share in row.own)
    spent = f"{max(row.epsilon):.2f}" if row.epsilon else ""
    figures = f"{min(row.own):8.3f}{row.everywhere:7.3f}{row.auc:7.3f}{spent:>10}"
    return f"{name:22}{own}{figures}{time.monotonic() - began:10.0f}"


def tell(name: str, study: Study, patients: Data, seeds: range) -> None:
    """Train in each way, and print a row as soon as it is done."""
    print(title(name))
    for way, train in WAYS.items():
        began = time.monotonic()
        rows = [train(Task(study, deal(patients, seed), seed)) for seed in seeds]
        print(line(way, averaged(rows), began), flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Go through the studies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", choices=tuple(STUDIES), help="one of them only")
    parser.add_argument("--small", action="store_true", help="600 pictures and two rounds")
    parser.add_argument("--rounds", type=int, help="instead of each study's own")
    parser.add_argument("--deals", type=int, default=3, help="ways to deal the patients")
    parser.add_argument("--seed", type=int, default=0, help="of the first deal")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    names = [args.study or "images"] if args.small else [args.study] if args.study else STUDIES
    for name in names:
        study = STUDIES[name]
        patients = study.patients()
        if args.small:
            patients = patients[0][::10], patients[1][::10]
        n_rounds = args.rounds or (2 if args.small else study.rounds)
        deals = 1 if args.small else args.deals
        seeds = range(args.seed, args.seed + deals)
        tell(name, replace(study, rounds=n_rounds), patients, seeds)


if __name__ == "__main__":
    main()
