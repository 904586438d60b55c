"""Record-level privacy for a loop that is there already."""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from privfl.core import Account, Relation, require, require_account
from privfl.crypto import Stream
from privfl.defenses.dp._gate import Gate
from privfl.defenses.dp._per_sample_by import per_sample
from privfl.defenses.dp._private_loader import PrivateLoader, plain_loader
from privfl.defenses.dp._private_setting import PrivateSetting
from privfl.defenses.dp._turn import Turn
from privfl.sampling import Poisson, Sampling

if TYPE_CHECKING:
    from privfl.defenses.dp._private_optimizer import PrivateOptimizer

Loader = DataLoader[Any]
Source = Stream | torch.Generator | int | None


def make_private(
    model: nn.Module,
    optimizer: Optimizer,
    loader: Loader,
    *,
    clip_norm: float,
    noise_multiplier: float,
    ledger: Account | None,
    sampling: Sampling | None = None,
    relation: Relation | str = Relation.ZERO_OUT,
    gradients: str | None = None,
    generator: Source = None,
) -> "tuple[nn.Module, PrivateOptimizer, PrivateLoader]":
    """Make the steps of a loop private: (model, optimizer, loader) -> the same three.

    The loop stays as it is: ``for x, y in loader``, then ``zero_grad``, ``criterion(model(x),
    y).backward()`` and ``step``. The model is the same object with the same keys, the optimizer
    clips and noises (Abadi et al. 2016, https://arxiv.org/abs/1607.00133), the loader draws the
    records, and each step is written in the ledger before it happens. Called again in each round,
    on the same objects or on new ones, it clips and noises once and pays from the same account.

    Three things stay with the loop: the criterion is the mean of the examples' own losses, without
    class weights or ignored labels; a batch goes through the model as it came; and whether to step
    is not decided by looking at the data.

    Args:
        model: in training mode; called with tensors, examples first, and returning one.
        optimizer: any, over the weights that train.
        loader: over a dataset with a length, without a sampler of its own.
        clip_norm: L2 bound on each record's gradient, over all trained weights together.
        noise_multiplier: standard deviation of the noise on the sum, over ``clip_norm``.
        ledger: what is charged, such as ``ledger.dataset("clinic-3")``; None charges nothing.
        sampling: how records are drawn; None: ``Poisson(size=loader.batch_size)``.
        relation: which datasets are neighbours.
        gradients: "functorch", "hooks", "ghost", or None for the fastest.
        generator: None for the operating system's randomness; anything else is seeded and marks
            the charges as not private (rule R28).

    Raises:
        ValueError: a loader with a sampler of its own, layers without per-example gradients,
            weights of another model in the optimizer. In the loop: a second step on one batch, and
            gradients that did not come from the batch drawn.
        BudgetExceeded: by the step that does not fit; the weights are as they were.

    Guarantees:
        - A batch is stepped on once, and every step was charged before; an empty batch is a step.
        - Noise of exactly that scale on the sum, which is divided by the public batch size.
        - A copy of the model, or a saved one, is plain.
        - After each pass the ledger holds the model's hash, so a statement can tell whose it is.

    >>> from torch.utils.data import TensorDataset
    >>> model = nn.Sequential(nn.Linear(2, 1))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> loader = DataLoader(TensorDataset(torch.rand(40, 2), torch.rand(40, 1)), batch_size=8)
    >>> model, optimizer, loader = make_private(
    ...     model, optimizer, loader, clip_norm=1.0, noise_multiplier=1.1, ledger=None
    ... )
    >>> for x, y in loader:
    ...     optimizer.zero_grad()
    ...     nn.functional.mse_loss(model(x), y).backward()
    ...     optimizer.step()
    """
    from privfl.defenses.dp._private_optimizer import PrivateOptimizer

    plain = plain_loader(loader)
    setting = PrivateSetting(
        clip_norm,
        noise_multiplier,
        Poisson(size=plain.batch_size) if sampling is None else sampling,
        Relation.of(relation),
        n=len(plain.dataset),  # type: ignore[arg-type]
    )
    if ledger is not None:
        require_account(ledger)
    old = Gate.of(model)
    if old is not None:
        old.rest()
    again = isinstance(optimizer, PrivateOptimizer)
    _require_plain(model, again or not hasattr(optimizer, "original_optimizer"))
    trained = _trained(model, optimizer)
    work = per_sample(model, clip_norm, gradients, size=setting.size, trained=trained, again=True)
    stream = Stream.of(generator)
    prepaid = setting.prepaid(ledger, stream.seeded, None if old is None else old.prepaid)
    if old is not None:
        old.remove()
    gate = Gate(model, work, Turn(), prepaid)
    private = optimizer if isinstance(optimizer, PrivateOptimizer) else PrivateOptimizer(optimizer)
    private.private(gate, noise_multiplier, setting.size, stream)
    drawn = PrivateLoader(plain, setting.sampling, stream, gate.turn, gate.bind)
    return model, private, drawn


def _require_plain(model: nn.Module, plain: bool) -> None:
    hooked = any(hasattr(layer, "autograd_grad_sample_hooks") for layer in model.modules())
    wanted, fix = "Model and optimizer must be plain, or privfl's", "Leave Opacus's wrapper out"
    require(plain and not hooked, wanted, "what Opacus made private", fix)


def _trained(model: nn.Module, optimizer: Optimizer) -> list[nn.Parameter]:
    """Return the weights that ``optimizer`` steps; all must be the model's."""
    stepped = [p for group in optimizer.param_groups for p in group["params"]]
    theirs = {id(p) for p in model.parameters()}
    strange = sum(id(p) not in theirs for p in stepped)
    require(not strange, "The optimizer must step weights of this model", f"{strange} others")
    return stepped
