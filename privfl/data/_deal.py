"""What the partitioners share: checks, shares drawn from a Dirichlet, and the last sorting."""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import torch
from torch import Tensor

from privfl.core import require, require_count
from privfl.crypto import Stream

Source: TypeAlias = Stream | torch.Generator | int | None  # a seed in one of its forms; None: fresh


def check_labels(labels: Tensor, n_clients: int, min_size: int = 1) -> None:
    """Raise a ValueError unless ``labels`` (n,) are whole numbers, enough for the clients."""
    require_count("n_clients", n_clients, least=1)
    require_count("min_size", min_size, least=1)
    wanted = "labels must be a tensor of whole numbers of shape (n,), one an example"
    if not isinstance(labels, Tensor):
        raise ValueError(f"{wanted}. Found {type(labels).__name__}. Use torch.as_tensor(labels).")
    whole = not (labels.is_floating_point() or labels.is_complex())
    require(whole and labels.ndim == 1, wanted, f"shape {tuple(labels.shape)} of {labels.dtype}")
    need = n_clients * min_size
    wanted = f"n_clients * min_size must be at most the number of examples, {len(labels)}"
    require(need <= len(labels), wanted, need, "Take fewer clients")


def rows_by_label(labels: Tensor, stream: Stream) -> Iterator[tuple[int, Tensor]]:
    """Give each label with the indices of its examples in random order."""
    for label in labels.unique().tolist():
        rows = (labels == label).nonzero().flatten().cpu()
        yield label, rows[stream.permutation(len(rows))]


def cut(rows: Tensor, shares: Tensor) -> tuple[Tensor, ...]:
    """Cut ``rows`` (n,) into one piece a client, as long as its share of the whole."""
    ends = shares.cumsum(0)[:-1] * len(rows)
    return rows.tensor_split(ends.round().long())


def proportions(n: int, alpha: float, stream: Stream) -> Tensor:
    """Draw from the symmetric Dirichlet(alpha): -> (n,) float64, of sum 1."""
    return uneven(torch.full((n,), alpha, dtype=torch.float64), stream)


def uneven(alphas: Tensor, stream: Stream) -> Tensor:
    """Draw from Dirichlet(alphas), whose mean is in proportion to ``alphas``: (n,) -> (n,).

    Normalised gamma variables, by G(a) = G(a + 1) U^(1/a) (Marsaglia and Tsang 2000,
    https://doi.org/10.1145/358407.358414, section 6).
    """
    from scipy.special import gammainccinv

    n, least = len(alphas), float(alphas.min())
    boosted = torch.from_numpy(gammainccinv(alphas.numpy() + 1, stream.uniform((n,)).numpy()))
    # in logarithms and less the largest: at alpha = .001 every G(a) itself underflows to zero
    weight = least * boosted.log() + stream.uniform((n,)).log() * (least / alphas)
    return ((weight - weight.max()) / least).softmax(0)


def finish(parts: Iterable[Tensor], labels: Tensor, min_size: int = 1) -> tuple[Tensor, ...]:
    """Fill clients below ``min_size`` from the largest, and sort each client's indices."""
    filled = list(parts)
    for client in range(len(filled)):
        while (lacking := min_size - len(filled[client])) > 0:
            giver = max(range(len(filled)), key=lambda i: len(filled[i]))
            kept = max(min_size, len(filled[giver]) - lacking)
            filled[client] = torch.cat([filled[client], filled[giver][kept:]])
            filled[giver] = filled[giver][:kept]
    return tuple(part.sort().values.to(labels.device) for part in filled)
