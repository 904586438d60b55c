"""Linear models that differ between clients."""

import math
from typing import TypeAlias

import torch
from torch import Tensor

from privfl.core import require, require_count
from privfl.crypto import Stream
from privfl.data._deal import Source

N_FEATURES, N_LABELS = 60, 10
Example: TypeAlias = tuple[Tensor, Tensor]  # (n, 60) float32 and (n,) int64


def synthetic(
    alpha: float, beta: float, n_clients: int = 30, *, generator: Source = None
) -> list[Example]:
    """Draw Synthetic(alpha, beta): every client has a linear model and a place of its own.

    Client k draws u_k and B_k, then W_k (10, 60) and b_k (10,) from N(u_k, 1) and v_k (60,) from
    N(B_k, 1). Its examples are x from N(v_k, Sigma), Sigma diagonal with j^-1.2, and their labels
    the argmax of softmax(W_k x + b_k). Sizes are 50 and the whole part of a lognormal of log mean 4
    and log deviation 2 (Li et al. 2020, https://arxiv.org/abs/1812.06127, section 5.1).

    The paper writes N(0, alpha) and N(0, beta); as in the generator that its figures come from,
    both are standard deviations. At 0 and 1 that is the same.

    u_k moves the scores of all ten labels alike, and softmax does not see that: labels do *not*
    depend on ``alpha``. Clients differ in W_k at ``alpha = 0`` too.

    Args:
        alpha: the deviation of u_k between clients.
        beta: the deviation of B_k between clients.
        n_clients: how many clients.
        generator: a seed, a ``torch.Generator`` or a ``Stream``; None draws afresh.

    Returns:
        x (n, 60), float32, and y (n,), int64 from 0 to 9, of each client.

    Raises:
        ValueError: for a deviation below 0, or no client.

    Guarantees:
        - Features, sizes and labels are distributed as defined.
        - The same seed gives the same data, with the same labels for every ``alpha``.

    >>> clients = synthetic(1.0, 1.0, n_clients=3, generator=0)
    >>> [tuple(x.shape) for x, _ in clients]
    [(91, 60), (126, 60), (56, 60)]
    """
    require_deviation("alpha", alpha)
    require_deviation("beta", beta)
    stream = Stream.of(generator)
    clients = []
    for size in sizes(n_clients, stream):
        u, place = stream.normal((2,)) * torch.tensor([alpha, beta], dtype=torch.float64)
        model = u + stream.normal((N_LABELS, N_FEATURES + 1))
        v = place + stream.normal((N_FEATURES,))
        clients.append(examples(size, model, v, stream))
    return clients


def synthetic_iid(n_clients: int = 30, *, generator: Source = None) -> list[Example]:
    """Draw the counterpart of `synthetic` without skew: one linear model, one place, all clients.

    W and b are from N(0, 1) and v is 0; sizes still differ (same paper, section 5.1).

    Args:
        n_clients: how many clients.
        generator: a seed, a ``torch.Generator`` or a ``Stream``; None draws afresh.

    Returns:
        x (n, 60), float32, and y (n,), int64 from 0 to 9, of each client.

    Raises:
        ValueError: for no client.

    Guarantees:
        - All clients' examples come from one distribution.
        - The same seed gives the same data.

    >>> x, y = synthetic_iid(2, generator=0)[0]
    >>> x.dtype, y.dtype
    (torch.float32, torch.int64)
    """
    stream = Stream.of(generator)
    ns = sizes(n_clients, stream)
    model, v = stream.normal((N_LABELS, N_FEATURES + 1)), torch.zeros(N_FEATURES).double()
    return [examples(n, model, v, stream) for n in ns]


def require_deviation(name: str, value: float) -> None:
    """Raise a ValueError unless ``value`` is finite and at least 0."""
    require(0 <= value < math.inf, f"{name} must be finite and at least 0", repr(value))


def sizes(n_clients: int, stream: Stream) -> list[int]:
    """Draw how many examples each client has: 50, and a lognormal number."""
    require_count("n_clients", n_clients, least=1)
    drawn = (4 + 2 * stream.normal((n_clients,))).exp()
    return [50 + int(n) for n in drawn.tolist()]


def examples(size: int, model: Tensor, v: Tensor, stream: Stream) -> Example:
    """Draw examples around ``v`` (60,), labelled by ``model`` (10, 61), whose last column is b."""
    deviation = torch.arange(1, N_FEATURES + 1, dtype=torch.float64) ** -0.6  # its square is Sigma
    x = v + deviation * stream.normal((size, N_FEATURES))
    scores = x @ model[:, :-1].T + model[:, -1]  # softmax keeps their order
    return x.float(), scores.argmax(dim=1)
