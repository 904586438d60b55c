"""A few labels a client, and nothing else."""

import torch
from torch import Tensor

from privfl.core import require, require_count
from privfl.crypto import Stream
from privfl.data._deal import Source, check_labels, finish, rows_by_label


def shards(
    labels: Tensor, n_clients: int, *, labels_per_client: int, generator: Source = None
) -> tuple[Tensor, ...]:
    """Give each client examples of a few labels only, each label split equally among its holders.

    The label-limited split of McMahan et al. 2017 (https://arxiv.org/abs/1602.05629, section 3),
    cut along the labels: there a shard may straddle two labels, or a client get one label twice.

    Args:
        labels: whole numbers (n,).
        n_clients: how many clients share them.
        labels_per_client: how many labels each client holds.
        generator: a seed, a ``torch.Generator`` or a ``Stream``; None draws afresh.

    Returns:
        One tensor of indices a client, in rising order.

    Raises:
        ValueError: bad labels, more labels a client than there are, too few clients to hold every
            label, or a label with fewer examples than holders.

    Guarantees:
        - The result is a partition, and no client is empty.
        - The same seed gives the same partition.
        - Every client holds exactly ``labels_per_client`` labels.
        - The numbers of holders of two labels differ by at most one.

    >>> labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    >>> [labels[rows].unique().numel() for rows in shards(labels, 4, labels_per_client=2)]
    [2, 2, 2, 2]
    """
    check_labels(labels, n_clients)
    n_labels = len(labels.unique())
    _check_slots(n_labels, n_clients, labels_per_client)
    stream = Stream.of(generator)
    held = _draw_holders(n_labels, n_clients, labels_per_client, stream)
    parts: list[list[Tensor]] = [[] for _ in range(n_clients)]
    for (label, rows), holds in zip(rows_by_label(labels, stream), held.T, strict=True):
        holders = holds.nonzero().flatten().tolist()
        wanted = f"label {label} must have an example for each of its {len(holders)} holders"
        require(len(rows) >= len(holders), wanted, len(rows), "Take fewer labels_per_client")
        for client, piece in zip(holders, rows.tensor_split(len(holders)), strict=True):
            parts[client].append(piece)
    return finish((torch.cat(part) for part in parts), labels)


def _check_slots(n_labels: int, n_clients: int, labels_per_client: int) -> None:
    require_count("labels_per_client", labels_per_client, least=1)
    most = f"labels_per_client must be at most {n_labels}, the number of labels"
    require(labels_per_client <= n_labels, most, labels_per_client)
    slots = n_clients * labels_per_client
    least = f"n_clients * labels_per_client must be at least {n_labels}, the number of labels"
    require(slots >= n_labels, least, slots, "Take more labels_per_client")


def _draw_holders(n_labels: int, n_clients: int, labels_per_client: int, stream: Stream) -> Tensor:
    """Draw who holds which label: -> (n_clients, n_labels) bool."""
    held = torch.zeros(n_clients, n_labels, dtype=torch.bool)
    for client in range(n_clients):
        # the labels with the fewest holders so far, ties at random: counts stay within one
        rank = held.sum(dim=0) + stream.uniform((n_labels,)) / 2
        held[client, rank.argsort()[:labels_per_client]] = True
    return held
