"""Label skew: each label goes mostly to few clients."""

import torch
from torch import Tensor

from privfl.core import require_positive
from privfl.crypto import Stream
from privfl.data._deal import Source, check_labels, cut, finish, proportions, rows_by_label


def dirichlet(
    labels: Tensor,
    n_clients: int,
    *,
    alpha: float,
    min_size: int = 1,
    generator: Source = None,
) -> tuple[Tensor, ...]:
    """Split each label over the clients in proportions drawn from Dirichlet(alpha).

    A small ``alpha`` gives each label to few clients, a large one gives every client the same
    mixture (Yurochkin et al. 2019, https://arxiv.org/abs/1905.12022, section 4). Where the draw
    leaves a client with fewer than ``min_size`` examples, the largest client hands over some of
    its own.

    Args:
        labels: whole numbers (n,).
        n_clients: how many clients share them.
        alpha: the concentration, above zero; 0.5 is a common choice.
        min_size: the fewest examples that a client may hold.
        generator: a seed, a ``torch.Generator`` or a ``Stream``; None draws afresh.

    Returns:
        One tensor of indices a client, in rising order.

    Raises:
        ValueError: bad labels, ``alpha`` or ``min_size``, or too few examples.

    Guarantees:
        - The result is a partition, and no client holds fewer than ``min_size`` examples.
        - The same seed gives the same partition.
        - A large ``alpha`` gives every client the same mixture of labels.

    >>> labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    >>> [labels[rows].tolist() for rows in dirichlet(labels, 2, alpha=1e6, generator=0)]
    [[0, 0, 1, 1], [0, 0, 1, 1]]
    """
    check_labels(labels, n_clients, min_size)
    require_positive("alpha", alpha)
    stream = Stream.of(generator)
    pieces = [
        cut(rows, proportions(n_clients, alpha, stream))
        for _, rows in rows_by_label(labels, stream)
    ]
    return finish((torch.cat(piece) for piece in zip(*pieces, strict=True)), labels, min_size)
