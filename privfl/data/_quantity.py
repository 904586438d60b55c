"""Size skew: few clients hold most of the examples."""

from torch import Tensor

from privfl.core import require_positive
from privfl.crypto import Stream
from privfl.data._deal import Source, check_labels, cut, finish, proportions


def quantity(
    labels: Tensor,
    n_clients: int,
    *,
    alpha: float,
    min_size: int = 1,
    generator: Source = None,
) -> tuple[Tensor, ...]:
    """Deal examples at random, in numbers drawn from Dirichlet(alpha).

    Every client sees the same mixture of labels; a small ``alpha`` makes few clients large
    (Li et al. 2022, https://arxiv.org/abs/2102.02079, section 4.3). Where the draw leaves a
    client with fewer than ``min_size`` examples, the largest hands over some of its own.

    Args:
        labels: whole numbers (n,).
        n_clients: how many clients share them.
        alpha: the concentration, above zero.
        min_size: the fewest examples that a client may hold.
        generator: a seed, a ``torch.Generator`` or a ``Stream``; None draws afresh.

    Returns:
        One tensor of indices a client, in rising order.

    Raises:
        ValueError: bad labels, ``alpha`` or ``min_size``, or too few examples.

    Guarantees:
        - The result is a partition, and no client holds fewer than ``min_size`` examples.
        - The same seed gives the same partition.
        - A large ``alpha`` gives every client as many examples.

    >>> import torch
    >>> labels = torch.zeros(6, dtype=torch.int64)
    >>> [len(rows) for rows in quantity(labels, 3, alpha=1e6, generator=0)]
    [2, 2, 2]
    """
    check_labels(labels, n_clients, min_size)
    require_positive("alpha", alpha)
    stream = Stream.of(generator)
    order = stream.permutation(len(labels))
    return finish(cut(order, proportions(n_clients, alpha, stream)), labels, min_size)
