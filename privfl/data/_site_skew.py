"""Few sites of different sizes, each with labels of its own."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from privfl.core import require_positive
from privfl.crypto import Stream
from privfl.data._deal import Source, check_labels, cut, finish, rows_by_label, uneven


def site_skew(
    labels: Tensor,
    sizes: Sequence[float],
    *,
    alpha: float,
    min_size: int = 1,
    generator: Source = None,
) -> tuple[Tensor, ...]:
    """Split each label over sites in proportions that scatter around the sizes of the sites.

    Size and label skew at once, as between hospitals: a large clinic sees more of everything, and
    each sees more of what it is known for. The shares of a label are drawn from a Dirichlet whose
    mean is ``sizes`` over their sum, and whose concentrations sum to ``alpha`` times the number of
    sites. Equal sizes are `dirichlet`; a large ``alpha`` leaves the size skew alone.

    Args:
        labels: whole numbers (n,).
        sizes: of the sites to each other, such as ``(4, 2, 1, 1)``.
        alpha: the concentration, above zero; small values make labels skew.
        min_size: the fewest examples that a site may hold.
        generator: a seed, a ``torch.Generator`` or a ``Stream``; None draws afresh.

    Returns:
        One tensor of indices a site, in rising order.

    Raises:
        ValueError: bad labels, ``sizes``, ``alpha`` or ``min_size``, or too few examples.

    Guarantees:
        - The result is a partition, and no site holds fewer than ``min_size`` examples.
        - The same seed gives the same partition.
        - A large ``alpha`` gives each site its share of every label.
        - On average over seeds a site holds its share, but for who fell below ``min_size``.

    >>> labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    >>> sites = site_skew(labels, (3, 1), alpha=1e6, generator=0)
    >>> [labels[rows].tolist() for rows in sites]
    [[0, 0, 0, 1, 1, 1], [0, 1]]
    """
    check_labels(labels, len(sizes), min_size)
    require_positive("alpha", alpha)
    for k, size in enumerate(sizes):
        require_positive(f"sizes[{k}]", size)
    shares = torch.tensor(sizes, dtype=torch.float64) / math.fsum(sizes)
    alphas, stream = alpha * (len(sizes) * shares), Stream.of(generator)
    pieces = [cut(rows, uneven(alphas, stream)) for _, rows in rows_by_label(labels, stream)]
    return finish((torch.cat(piece) for piece in zip(*pieces, strict=True)), labels, min_size)
