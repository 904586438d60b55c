"""Record-level privacy for a loop, by epsilon."""

from typing import TYPE_CHECKING

from torch import nn
from torch.optim import Optimizer

from privfl.core import Account, Relation, require_count, require_small_delta
from privfl.defenses.dp._make_private import Loader, Source, make_private
from privfl.defenses.dp._multiplier_for import multiplier_for
from privfl.defenses.dp._private_loader import PrivateLoader, plain_loader
from privfl.defenses.dp._private_sampling import require_sampling, require_size
from privfl.sampling import Poisson, Sampling

if TYPE_CHECKING:
    from privfl.defenses.dp._private_optimizer import PrivateOptimizer


def make_private_with_epsilon(
    model: nn.Module,
    optimizer: Optimizer,
    loader: Loader,
    *,
    clip_norm: float,
    target_epsilon: float,
    target_delta: float,
    rounds: int,
    epochs: int,
    ledger: Account | None,
    sampling: Sampling | None = None,
    relation: Relation | str = Relation.ZERO_OUT,
    gradients: str | None = None,
    generator: Source = None,
) -> "tuple[nn.Module, PrivateOptimizer, PrivateLoader]":
    """Do what `make_private` does, with the noise that an epsilon needs.

    Args:
        model: see `make_private`.
        optimizer: see `make_private`.
        loader: see `make_private`.
        clip_norm: see `make_private`.
        target_epsilon: what ``rounds * epochs`` passes cost at most, against an outsider.
        target_delta: at which.
        rounds: how often this data is trained on; 1 outside a federation.
        epochs: passes in each round.
        ledger: see `make_private`.
        sampling: see `make_private`.
        relation: see `make_private`.
        gradients: see `make_private`.
        generator: see `make_private`.

    Guarantees:
        - All passes together cost at most ``target_epsilon``; a percent less noise would cost more.

    >>> import torch
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> from privfl.sampling import Shuffled
    >>> model = nn.Sequential(nn.Linear(2, 1))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> loader = DataLoader(TensorDataset(torch.rand(40, 2), torch.rand(40, 1)))
    >>> _, optimizer, _ = make_private_with_epsilon(
    ...     model, optimizer, loader, clip_norm=1.0, target_epsilon=1.0, target_delta=1e-5,
    ...     rounds=5, epochs=2, ledger=None, sampling=Shuffled(size=8),
    ... )
    >>> round(optimizer.noise_multiplier, 1)
    11.8
    """
    plain = plain_loader(loader)
    require_count("rounds", rounds, least=1)
    require_count("epochs", epochs, least=1)
    drawn = Poisson(size=plain.batch_size) if sampling is None else sampling
    n = len(plain.dataset)  # type: ignore[arg-type]
    require_sampling(drawn, relation)
    require_size(drawn, n)
    require_small_delta(target_delta, n, "records")
    noise_multiplier = multiplier_for(
        drawn, n, rounds * epochs, Relation.of(relation), target_epsilon, target_delta
    )
    return make_private(
        model,
        optimizer,
        loader,
        clip_norm=clip_norm,
        noise_multiplier=noise_multiplier,
        ledger=ledger,
        sampling=sampling,
        relation=relation,
        gradients=gradients,
        generator=generator,
    )
