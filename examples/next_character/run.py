"""Phones learn to guess the next character, and nobody's text leaves a phone.

The text is 20 books of the King James Bible, which ship with privfl. Each book is cut into phones
of 900 characters, 600 in all; the end of each book is held out. A recurrent network of 20,662
weights learns by federated averaging, for which one phone in ten takes part in a round.

    $ pip install privfl
    $ python run.py                # all the ways, seven minutes on a busy core
    $ python run.py --small        # a few seconds, to see that it runs
    $ python run.py --rounds 60

What you see, on the text that no phone holds: the share of characters that are the first guess, and
among the first three, which is what a keyboard shows; and bits per character, the fewer the better.
Above stands what needs no learning, at the bottom one computer that has all the text.

It printed once, and more completions:

    600 phones, 61,300 held-out characters, 32 rounds
                               first   top 3    bits  seconds
    untrained                  0.021   0.091    5.27        0
    always the commonest       0.184   0.361    4.19        1
    FedAvg                     0.503   0.716    2.47      130
      clip, masks              0.440   0.648    2.85      135
      clip, noise              0.430   0.639    2.89       80  epsilon 5.52
    in one place               0.530   0.736    2.35       53

    FedAvg:
      'and the lord said the lord of the lord '
      'in the beginning there day of the lord'
      'the king of israel of the lord of the '

*masks*: the server sees sums only. Masks cancel, so what is lost is lost to the clip. *noise*: the
models are nearly the same with a phone as without, which epsilon bounds at delta = 1e-4, against
everybody but the server. Training stops before the round that would pass epsilon 8.

    training.py     pipelines, noise, budget: what to change first
    keyboard.py     the model, and how it is measured
    phones.py       whose text: let `deal` return (x, y) of each, x (n, 20) and what follows

With more phones noise costs less: its share of the mean falls as one over their number.
"""

import argparse
import time

import torch
from keyboard import Keyboard, Score, commonest, complete, test
from phones import deal
from torch import nn
from training import CENTRALISED, DELTA, MASKED, PLAIN, Way, noised, train

from privfl.data import kjv_sample
from privfl.parts import Data

WINDOW = 20  # characters that are read in one go
PASSES = 6  # over all the text, in one place
WAYS = {"FedAvg": PLAIN, "  clip, masks": MASKED, "  clip, noise": noised()}
SMALL_WAYS = {"FedAvg": PLAIN, "  clip, masks": MASKED, "  clip, noise": noised(2.0)}
PROMPTS = ("and the lord sa", "in the beginni", "the king of is")


def say(name: str, score: Score, began: float, note: str = "") -> None:
    """Print a row of the table."""
    figures = f"{score.accuracy:10.3f}{score.top_3:8.3f}{score.bits:8.2f}"
    print(f"{name:22}{figures}{time.monotonic() - began:9.0f}  {note}".rstrip(), flush=True)


def tell(
    name: str, way: Way, phones: list[Data], ends: Data, n_rounds: int, seed: int
) -> nn.Module:
    """Train in one way, and print its row."""
    began = time.monotonic()
    trained = train(way, phones, n_rounds, seed=seed)
    note = ""
    if trained.epsilon is not None:
        whom = f"at delta {DELTA:g}, of a phone, against {trained.against}"
        note = f"epsilon {trained.epsilon:.2f} {whom}, {trained.n_rounds} rounds"
    say(name, test(trained.model, ends), began, note)
    return trained.model


def main(arguments: list[str] | None = None) -> None:
    """Train in each way, and print a row as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="two books and two rounds")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    books = dict(kjv_sample().books)
    if args.small:
        books = {name: books[name][:8000] for name in ("Genesis", "Ruth")}
    n_rounds = args.rounds or (2 if args.small else 32)
    phones, ends = deal(books, 300 if args.small else 900, WINDOW)
    print(f"{len(phones)} phones, {ends[1].numel():,} held-out characters, {n_rounds} rounds")
    print(f"{'':22}{'first':>10}{'top 3':>8}{'bits':>8}{'seconds':>9}")
    began = time.monotonic()
    say("untrained", test(Keyboard(seed=args.seed), ends), began)
    say("always the commonest", commonest(phones, ends), began)
    ways = SMALL_WAYS if args.small else WAYS
    models = {
        name.strip(): tell(name, way, phones, ends, n_rounds, args.seed)
        for name, way in ways.items()
    }
    passes = 1 if args.small else PASSES
    models["in one place"] = tell("in one place", CENTRALISED, phones, ends, passes, args.seed)
    for name, model in models.items():
        print(f"\n{name}:", *(f"  {complete(model, prompt)!r}" for prompt in PROMPTS), sep="\n")


if __name__ == "__main__":
    main()
