"""What differential privacy costs the rare class: fraud among card payments.

Ten banks of 1,000 made-up payments each, of which one in a hundred is fraud, learn a logistic
regression by federated averaging; it is measured on 100,000 other payments. Nothing is downloaded.

    $ pip install privfl
    $ python run.py              # three minutes on one core, busy with other work
    $ python run.py --small      # a few seconds, to see that it runs
    $ python run.py --rounds 40 --seed 1

It printed once:

    10000 payments of 10 banks, 94 fraud; 100000 to test on
    10000 of them by 200 cards, 94 fraud
                             accuracy  recall   worst  precision     AUC    epsilon
    never fraud                0.9905   0.000   0.000      0.009  0.5000
    FedAvg over banks          0.9905   0.320   0.320      0.217  0.9097
      clip alone, z = .01      0.9905   0.310   0.307      0.198  0.9051   no use a payment
      DP-SGD, z = 1.0          0.9905   0.291   0.272      0.181  0.9041   4.77 a payment
      DP-SGD, z = 2.0          0.9905   0.293   0.278      0.186  0.8993   1.56 a payment
      DP-SGD, z = 4.0          0.9905   0.155   0.048      0.085  0.8242   0.67 a payment
      DP-SGD, z = 8.0          0.9905   0.122   0.098      0.063  0.8017   0.30 a payment
    FedAvg over cards          0.9905   0.314   0.313      0.210  0.9073
      noise, z = 1.0           0.9905   0.309   0.302      0.205  0.9063   6.24 a card
      noise, z = 4.0           0.9905   0.259   0.238      0.152  0.8861   0.83 a card
    best                       0.9908   0.336   0.336      0.228  0.9136

Read *accuracy* first: it is the same in every row, for a model that never says fraud has it too.
*Recall* is the share of fraud that is caught when one in a hundred genuine payments may raise an
alarm, and *precision* the average precision: there is what the noise takes. Each figure is the mean
of three trainings, *worst* the least recall of them: who trains with noise gets one.

The last part makes a client of each card that paid ten times or more (`by_user`), and noise on the
mean hides a card with all its payments. Epsilon is at delta 1e-5 for a payment and 1e-3 for a card.
*best* is the answer by which payments are drawn: no model has an expected AUC above 0.9134.

    training.py     noise, clips, learning rates: what to change first
    payments.py     the banks: let `banks` return (x, y) of each, y 1 for fraud
    measure.py      the measures
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from measure import Measures, measured
from payments import RATE, banks, best_scores, cards, pooled
from training import BANKS, CARDS, Way, hiding_cards, hiding_payments, train

from privfl.parts import Data

LEAST = 10  # payments of a card that takes part
TITLE = f"{'':24}{'accuracy':>9}{'recall':>8}{'worst':>8}{'precision':>11}{'AUC':>8}{'epsilon':>11}"
BANK_WAYS = {"FedAvg over banks": BANKS, "  clip alone, z = .01": hiding_payments(0.01)}
BANK_WAYS |= {f"  DP-SGD, z = {z}": hiding_payments(z) for z in (1.0, 2.0, 4.0, 8.0)}
CARD_WAYS = {"FedAvg over cards": CARDS}
CARD_WAYS |= {f"  noise, z = {z}": hiding_cards(z) for z in (1.0, 4.0)}


@dataclass(frozen=True)
class World:
    """Hold what there is to learn from, and to be measured on.

    Attributes:
        banks: payments of each bank.
        cards: the same payments by card.
        test: others.
        n_rounds: for banks; cards get twice as many, of a fifth of them each.
    """

    banks: list[Data]
    cards: list[Data]
    test: Data
    n_rounds: int

    @classmethod
    def drawn(cls, n_payments: int, n_test: int, n_rounds: int, seed: int) -> "World":
        """Draw payments of ten banks and of 200 cards."""
        there, others = banks(10, n_payments, 2 * seed), banks(10, n_test, 2 * seed + 1)
        return cls(there, cards(there, 200, LEAST, seed), pooled(others), n_rounds)


def row(name: str, draws: list[Measures], epsilon: str = "") -> str:
    """Write a row of the table: the mean of several trainings."""
    means = {key: sum(getattr(m, key) for m in draws) / len(draws) for key in vars(draws[0])}
    worst = min(m.recall for m in draws)
    figures = f"{means['accuracy']:9.4f}{means['recall']:8.3f}{worst:8.3f}"
    return f"{name:24}{figures}{means['precision']:11.3f}{means['auc']:8.4f}   {epsilon}".rstrip()


def rows(ways: dict[str, Way], world: World, clients: list[Data], seeds: range) -> Iterator[str]:
    """Train in each way, and yield its row."""
    x, y = world.test
    of_cards = clients is world.cards
    n_rounds, delta = (2 * world.n_rounds, 1e-3) if of_cards else (world.n_rounds, 1e-5)
    for name, way in ways.items():
        made = [train(way, clients, n_rounds, delta=delta, seed=seed) for seed in seeds]
        logits = [trained.model(x) for trained in made]
        draws = [measured(each[:, 1] - each[:, 0], y) for each in logits]
        yield row(name, draws, spent(way, made[0].epsilon))


def spent(way: Way, epsilon: float | None) -> str:
    """Say what a payment or a card was charged."""
    if epsilon is None:
        return ""
    return f"{epsilon:.2f} a {way.hides}" if epsilon <= 100 else f"no use a {way.hides}"


def main(arguments: list[str] | None = None) -> None:
    """Train in each way, and print a row as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="few payments and two rounds")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    n_rounds = args.rounds or (2 if args.small else 20)
    sizes = (400, 1000) if args.small else (1000, 10_000)
    world = World.drawn(*sizes, n_rounds, args.seed)
    seeds = range(args.seed, args.seed + (1 if args.small else 3))
    x, y = world.test
    learned, seen = pooled(world.banks)[1], pooled(world.cards)[1]
    print(f"{len(learned)} payments of 10 banks, {learned.sum()} fraud; {len(y)} to test on")
    print(f"{len(seen)} of them by {len(world.cards)} cards, {seen.sum()} fraud")
    print(TITLE)
    print(row("never fraud", [measured(torch.full(y.shape, -1.0), y)]))
    for ways, clients in ((BANK_WAYS, world.banks), (CARD_WAYS, world.cards)):
        for line in rows(ways, world, clients, seeds):
            print(line, flush=True)
    print(row("best", [measured(best_scores(x) + math.log(RATE / (1 - RATE)), y)]))


if __name__ == "__main__":
    main()
