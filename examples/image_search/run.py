"""A hundred clients with two digits each learn to search images of all ten.

Each client trains a small embedder that all share, and a head that never leaves it. What is shared
is a body that makes 16 numbers of an image; images that show the same digit should come to point
the same way. Then 500 images that no client has are searched with 500 others.

    $ pip install privfl
    $ python run.py                # a minute or two on one core; writes hits.png
    $ python run.py --rounds 40
    $ python run.py --small        # a few seconds: twenty clients, four rounds

It printed once, on a busy core:

                        recall@1     @5    @10  own digits  epsilon  seconds
    untrained              0.346  0.726  0.860
    centralised            0.932  0.976  0.986       0.942                22
    FedAvg                 0.738  0.926  0.966       0.618                21
    FedPer                 0.712  0.914  0.952       0.802                21
    FedRep                 0.752  0.932  0.962       0.874                18
    FedRep, masks          0.750  0.930  0.964       0.876                23
    FedRep, noise          0.722  0.912  0.952       0.865      7.1       13

Recall at k is the share of queries with the right digit among the first k hits. Recalls differ by
some hundredths from seed to seed, so personal heads find about as much as a common one. They name a
client's own two digits better, and no update tells the server which two these are by its last bias.
Epsilon is at delta 1e-5, of a whole client, against whoever gets the model and not the server.

    run.py         trains in each way, and prints the table
    clients.py     who has which images, and who takes part in a round
    embedder.py    the model
    shields.py     what is done to updates: masks, or noise
    train.py       the federations
    search.py      nearest neighbours by angle, and recall
    picture.py     queries and hits
"""

import argparse
import time
from dataclasses import replace
from math import isfinite
from pathlib import Path

import torch
from clients import FULL, SMALL, Size, deal
from embedder import make_model
from picture import draw
from search import Search, held_out, recall
from torch import nn
from train import WAYS, Way, federation, own_accuracy

KS = (1, 5, 10)
ROW = "{:18}{:>10}{:>7}{:>7}{:>12}{:>9}{:>9}"
SHOWN = ("untrained", "FedAvg", "FedRep, masks", "FedRep, noise")


def found(search: Search, model: nn.Module) -> list[str]:
    """Return recall at 1, 5 and 10, in words."""
    right = search.right(search.hits(model, max(KS)))
    return [f"{recall(right, k):.3f}" for k in KS]


def train(name: str, way: Way, search: Search, size: Size, seed: int) -> nn.Module:
    """Train in one way, print its row, and return the model."""
    began = time.monotonic()
    trained = federation(way, deal(size, seed=seed), size, seed=seed)
    *_, last = trained.rounds(size.rounds)
    epsilon = f"{last.record.epsilon:.1f}" if isfinite(last.record.epsilon) else ""
    own, seconds = f"{own_accuracy(trained):.3f}", f"{time.monotonic() - began:.0f}"
    print(ROW.format(name, *found(search, trained.model), own, epsilon, seconds), flush=True)
    return trained.model


def main() -> None:
    """Train in each way, print a row as soon as one is done, and draw what they find."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--small", action="store_true", help="twenty clients, four rounds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("hits.png"), help="the picture to write")
    args = parser.parse_args()
    torch.set_num_threads(1)  # the batches are small: more threads wait for each other
    size = SMALL if args.small else FULL
    size = size if args.rounds is None else replace(size, rounds=args.rounds)
    search = held_out()
    models: dict[str, nn.Module] = {"untrained": make_model(args.seed)}
    print(ROW.format("", "recall@1", "@5", "@10", "own digits", "epsilon", "seconds"))
    print(ROW.format("untrained", *found(search, models["untrained"]), "", "", ""))
    for name, way in WAYS.items():
        models[name] = train(name, way, search, size, args.seed)
    args.out.write_bytes(draw(search, {name: models[name] for name in SHOWN}))
    print(f"{args.out} shows the first query of each digit and its first hits")


if __name__ == "__main__":
    main()
