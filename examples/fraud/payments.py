"""Payments of banks, and of the cards behind them: made up, with a best answer that is known."""

import math

import torch
from torch import Tensor

from privfl.data import by_user, fraud
from privfl.parts import Data

RATE = 0.01  # of payments are fraud
BEST_AUC = 0.9134  # of any model, see `privfl.data.fraud`

# Mean and deviation of the logarithms of genuine payments' amount, distance and velocity: what a
# payment network publishes. The rest of the columns are of the order of one already.
LOGS = {0: (3.5, 1.2), 3: (1.5, 1.0), 4: (0.0, 0.7)}
# The logarithm of how much likelier a payment is as fraud than as genuine, in the scaled columns:
# Gaussians that lie .9, .8 and .7 deviations apart, hours around 3 and not 15, kinds of merchants.
SHIFTS = {0: 0.9, 3: 0.8, 4: 0.7}
KINDS = [math.log(fraud / genuine) for fraud, genuine in ((0.1, 0.4), (0.1, 0.2), (0.1, 0.2))]
KINDS += [math.log(0.2 / 0.05), math.log(0.5 / 0.15)]


def scaled(x: Tensor) -> Tensor:
    """Bring the columns to about one, by what is public about them: (n, 10) -> (n, 10)."""
    x = x.clone()
    for column, (mean, deviation) in LOGS.items():
        x[:, column] = (x[:, column] - mean) / deviation
    return x


def banks(n_banks: int, n_payments: int, seed: int) -> list[Data]:
    """Draw the payments of each bank."""
    drawn = fraud(n_banks, n_payments, rate=RATE, generator=seed)
    return [(scaled(x), y) for x, y in drawn]


def pooled(datas: list[Data]) -> Data:
    """Put the payments of several clients side by side."""
    x, y = zip(*datas, strict=True)
    return torch.cat(x), torch.cat(y)


def cards(datas: list[Data], n_cards: int, least: int, seed: int) -> list[Data]:
    """Make one client of each card that paid ``least`` times or more.

    Whose card a payment is of is drawn: some cards pay often and most do not, card k in proportion
    to 1 / sqrt(k + 1). With a column of card numbers of your own, hand it to `by_user` instead.
    """
    x, y = pooled(datas)
    often = 1 / (torch.arange(n_cards) + 1.0).sqrt()
    draw = torch.Generator().manual_seed(seed)
    users = often.multinomial(len(y), replacement=True, generator=draw)
    return [(x[rows], y[rows]) for rows in by_user(users, least=least)]


def best_scores(x: Tensor) -> Tensor:
    """Return the log odds by which payments are drawn, up to a constant: scaled (n, 10) -> (n,)."""
    weights = torch.tensor([0, math.sqrt(0.5), math.sqrt(0.5), 0, 0, *KINDS])
    for column, shift in SHIFTS.items():
        weights[column] = shift
    return x @ weights - sum(shift**2 for shift in SHIFTS.values()) / 2
