"""How well payments are told apart, where few are fraud."""

from dataclasses import dataclass

import torch
from torch import Tensor

FALSE_ALARMS = 0.01  # of genuine payments that a bank can afford to look at


@dataclass(frozen=True)
class Measures:
    """Say how well scores tell fraud from genuine payments.

    Attributes:
        accuracy: share of payments that are right at the threshold zero, where the odds are even.
        recall: share of fraud that is caught with at most `FALSE_ALARMS`.
        precision: average precision, the mean over fraud of the precision when it is reached.
        auc: the chance that fraud scores above a genuine payment, ties for a half.
    """

    accuracy: float
    recall: float
    precision: float
    auc: float


def measured(scores: Tensor, y: Tensor) -> Measures:
    """Measure scores (n,) of payments whose labels are y (n,), 1 for fraud."""
    scores, y = scores.detach().double(), y.double()
    alarms, caught = curve(scores, y)
    return Measures(
        accuracy=float(((scores > 0) == (y > 0)).double().mean()),
        recall=float(caught[alarms <= FALSE_ALARMS * (y == 0).sum()].max() / y.sum()),
        precision=average_precision(alarms, caught),
        auc=float(torch.trapezoid(caught, alarms) / (y.sum() * (1 - y).sum())),
    )


def curve(scores: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Count false alarms and caught fraud at each threshold, from none to all: two of (k,)."""
    order = scores.argsort(descending=True)
    last = torch.cat([scores[order].diff() != 0, torch.ones(1, dtype=torch.bool)])  # of equal ones
    none = y.new_zeros(1)
    alarms, caught = ((side[order]).cumsum(0)[last] for side in (1 - y, y))
    return torch.cat([none, alarms]), torch.cat([none, caught])


def average_precision(alarms: Tensor, caught: Tensor) -> float:
    """Add up precision times the rise of recall along the curve."""
    precision = caught[1:] / (caught[1:] + alarms[1:])
    return float((precision * caught.diff()).sum() / caught[-1])
