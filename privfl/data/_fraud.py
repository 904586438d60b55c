"""A table of card payments, few of which are fraud."""

import math

import torch
from torch import Tensor

from privfl.core import require, require_count
from privfl.crypto import Stream
from privfl.data._deal import Source

# logarithms: mean and deviation of genuine payments, and how many deviations fraud lies above
LOGS = {"amount": (3.5, 1.2, 0.9), "distance": (1.5, 1.0, 0.8), "velocity": (0.0, 0.7, 0.7)}
# the hour around which genuine payments and fraud gather, and how closely
PEAKS, CLOSENESS = (15.0, 3.0), 0.5
# grocery, fuel, restaurant, travel, online: of genuine payments and of fraud
KINDS = ((0.40, 0.20, 0.20, 0.05, 0.15), (0.10, 0.10, 0.10, 0.20, 0.50))


def fraud(
    n_clients: int = 10,
    n_examples: int = 1000,
    *,
    rate: float = 0.01,
    spread: float = 0.5,
    generator: Source = None,
) -> list[tuple[Tensor, Tensor]]:
    """Draw made-up card payments of several banks; about one in a hundred is fraud.

    No payment is anybody's: it is a small model with a known best answer. Given whether a payment
    is fraud its parts are independent: the logarithms of amount, distance from home and payments
    in the last hour are Gaussian, ``LOGS``; the hour of day is a whole number drawn in proportion
    to ``exp(.5 cos(2 pi (hour - peak) / 24))`` with its peak at 15 or, for fraud, at 3; the kind of
    merchant is one of five, ``KINDS``. Banks differ in how much fraud they see: their rates are
    lognormal with mean ``rate`` and log deviation ``spread``, cut at one half.

    So the log odds of fraud are linear in the columns: a logistic regression can be optimal, and
    no model has an expected area under the ROC curve above 0.9134, over all banks or within one.

    Args:
        n_clients: how many banks.
        n_examples: payments of each.
        rate: the mean share of fraud, at most 0.1.
        spread: how unequal banks are; at 0 all have ``rate``.
        generator: a seed, a ``torch.Generator`` or a ``Stream``; None draws afresh.

    Returns:
        x (n, 10), float32, and y (n,), int64, 1 for fraud, of each bank. The columns are the
        logarithm of the amount, sine and cosine of the hour, the logarithms of distance and of
        velocity, and five that are 1 for their kind of merchant.

    Raises:
        ValueError: for counts below 1, or a rate or spread out of range.

    Guarantees:
        - The best answer's area under the ROC curve is the stated one.
        - The columns are distributed as stated, and so are the banks' rates.
        - The same seed gives the same table.

    >>> x, y = fraud(3, 500, generator=0)[0]
    >>> x.shape, y.sum()
    (torch.Size([500, 10]), tensor(3))
    """
    require_count("n_clients", n_clients, least=1)
    require_count("n_examples", n_examples, least=1)
    require(0 < rate <= 0.1, "rate must be in (0, 0.1]", repr(rate))
    require(0 <= spread <= 2, "spread must be from 0 to 2", repr(spread))
    stream = Stream.of(generator)
    rates = rate * (spread * stream.normal((n_clients,)) - spread**2 / 2).exp()
    return [_bank(n_examples, min(0.5, r), stream) for r in rates.tolist()]


def _bank(n: int, rate: float, stream: Stream) -> tuple[Tensor, Tensor]:
    y = (stream.uniform((n,)) <= rate).long()
    amount, distance, velocity = (_log(name, y, stream) for name in LOGS)
    angle = 2 * math.pi * _drawn(torch.stack([_hours(peak) for peak in PEAKS]), y, stream) / 24
    kind = _drawn(torch.tensor(KINDS, dtype=torch.float64), y, stream)
    plain = [amount, angle.sin(), angle.cos(), distance, velocity]
    merchant = torch.nn.functional.one_hot(kind, len(KINDS[0]))
    return torch.cat([torch.stack(plain, dim=1), merchant], dim=1).float(), y


def _log(name: str, y: Tensor, stream: Stream) -> Tensor:
    """Draw one of ``LOGS`` for payments that are fraud or not: (n,) -> (n,)."""
    mean, deviation, shift = LOGS[name]
    return mean + deviation * (shift * y + stream.normal(y.shape))


def _hours(peak: float) -> Tensor:
    """Give the chances of the 24 hours around a peak: -> (24,)."""
    angle = 2 * math.pi * (torch.arange(24, dtype=torch.float64) - peak) / 24
    return (CLOSENESS * angle.cos()).softmax(0)


def _drawn(chances: Tensor, y: Tensor, stream: Stream) -> Tensor:
    """Draw one of k values by the row of ``chances`` (2, k) that ``y`` (n,) names: -> (n,)."""
    ends = chances.cumsum(dim=1)[y]
    drawn = (ends < stream.uniform((len(y), 1))).sum(dim=1)
    return drawn.clamp(max=chances.shape[1] - 1)  # the last end may be rounded to below one
