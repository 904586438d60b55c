"""Equal numbers, at random."""

from torch import Tensor

from privfl.crypto import Stream
from privfl.data._deal import Source, check_labels, finish


def iid(labels: Tensor, n_clients: int, *, generator: Source = None) -> tuple[Tensor, ...]:
    """Deal examples at random, in equal numbers.

    Args:
        labels: whole numbers (n,).
        n_clients: how many clients share them.
        generator: a seed, a ``torch.Generator`` or a ``Stream``; None draws afresh.

    Returns:
        One tensor of indices a client, in rising order.

    Raises:
        ValueError: labels are no vector of whole numbers, or too few for ``n_clients``.

    Guarantees:
        - The result is a partition, and no client is empty.
        - The same seed gives the same partition.
        - Two clients differ by at most one example.

    >>> import torch
    >>> [len(rows) for rows in iid(torch.zeros(5, dtype=torch.int64), 2)]
    [3, 2]
    """
    check_labels(labels, n_clients)
    order = Stream.of(generator).permutation(len(labels))
    return finish(order.tensor_split(n_clients), labels)
