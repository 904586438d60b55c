"""One attack on one update, and what it got."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from privfl.attacks.inversion import Reconstruction
from privfl.core import Layout, Party, require, require_count
from privfl.crypto import Stream
from privfl.evaluate._assign import in_order
from privfl.evaluate._contender import Inversion
from privfl.evaluate._identify import AMONG
from privfl.evaluate._measure import Measured, measure
from privfl.evaluate._pool import Pool
from privfl.evaluate._staged import noise_std_of, one_step, updates_of, view_of
from privfl.evaluate._verdict import MARGIN, Verdict, victim_verdict
from privfl.learning import LocalSGD
from privfl.parts import Data, Loss, Trainer
from privfl.pipeline import Pipeline
from privfl.views import Knowledge, NotApplicable


@dataclass(frozen=True)
class Reconstructed:
    """Hold what an attack made of one batch.

    Attributes:
        images: (n, *shape) in the order of the batch.
        psnr: median over the batch, dB.
        baseline_psnr: of a blind guess: the pool's mean, or mid-grey without a pool.
        identified: share of the images picked out of 100 of their label; None without a pool.
        null: the same among images that were not in the batch.
        verdict: of this batch.
        seconds: the attack took.
        strength: of the attack.
        note: why an attack does not apply.
    """

    images: Tensor = field(repr=False)
    psnr: float
    baseline_psnr: float
    identified: float | None
    null: float | None
    verdict: Verdict
    seconds: float
    strength: str = ""
    note: str = ""


def reconstruct(
    attack: Inversion,
    pipeline: Pipeline,
    model: nn.Module,
    loss: Loss,
    batch: Data,
    *,
    n_clients: int = 1,
    local: Trainer | None = None,
    pool: Data | Tensor | None = None,
    generator: Stream | torch.Generator | None = None,
) -> Reconstructed:
    """Let clients train on ``batch``, run a round, and attack what the server sees.

    Args:
        attack: from `privfl.attacks.inversion`.
        pipeline: what is between the update and the server.
        model: what the clients train from; it is not changed.
        loss: ``(outputs, y) -> mean loss``.
        batch: images (n, *shape) in [0, 1] and labels (n,), dealt to the clients in turn.
        n_clients: who share the batch; a sum protocol shows the server only their sum.
        local: the clients' training; None is one step on all they hold, of the pipeline's trainer
            or of SGD.
        pool: images of the same kind with their labels, at least 100 of each label of the batch
            besides it; images alone stand for one label.
        generator: randomness of training, noise and attack.

    Raises:
        ValueError: for a batch that cannot be dealt, or a pool that is too small.

    >>> from privfl.attacks.inversion import LinearInversion
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 2))
    >>> batch = torch.rand(1, 1, 8, 8), torch.tensor([1])
    >>> loss = nn.functional.cross_entropy
    >>> result = reconstruct(LinearInversion(), Pipeline(), model, loss, batch, generator=0)
    >>> result.psnr > 60, result.identified, str(result.verdict)
    (True, None, 'INCONCLUSIVE')
    """
    x, y = batch
    require_count("n_clients", n_clients, least=1)
    wanted = f"batch must hold images and labels for each of {n_clients} clients"
    require(len(x) == len(y) > 0 and len(x) % n_clients == 0, wanted, f"{len(x)} and {len(y)}")
    stream = Stream.of(generator)
    data: dict[Party, Data] = {k: (x[k::n_clients], y[k::n_clients]) for k in range(n_clients)}
    trainer = one_step(pipeline.trainer or LocalSGD(), len(x) // n_clients)
    trainer = trainer if local is None else local
    updates = updates_of(model, data, trainer, loss, stream)
    view = view_of(pipeline, updates, members=tuple(data), generator=stream.child("noise"))
    rows = 1 if view.rows is None else len(view.rows.sums)
    order = torch.arange(len(x)).view(-1, n_clients).T.reshape(rows, -1)
    known_pool = _pool(pool, y)
    knowledge = Knowledge(
        model=model,
        loss=loss,
        layout=Layout.of(model),
        shape=tuple(x.shape[1:]),
        n_images=order.shape[1],
        labels=y[order],
        learning_rate=getattr(trainer, "lr", None),
        steps=getattr(trainer, "steps", None) or 1,
        n_clients=n_clients // rows,
        noise_std=_noise(pipeline, trainer, n_clients, updates.shape[1], rows),
        prior=None if known_pool is None else known_pool.without(x).images,
    )
    try:
        outcome = attack(view, knowledge, stream.child("attack"))
    except NotApplicable as reason:
        return _not_applicable(x, str(reason))
    if not isinstance(outcome, Reconstruction):
        raise ValueError(f"{attack!r} reconstructs no images. Use duel() for other attacks.")
    figures = measure(
        outcome.images,
        x[order],
        y[order],
        stream.child("measure"),
        pool=known_pool,
        prior=knowledge.prior,
    )
    return _result(outcome, figures, x, order)


def _result(outcome: Reconstruction, figures: Measured, x: Tensor, order: Tensor) -> Reconstructed:
    certified = bool(outcome.certified.all())
    images = torch.zeros_like(x)
    for made, places in zip(outcome.images, order, strict=True):
        images[places] = in_order(made, x[places]).to(images)
    return Reconstructed(
        images=images,
        psnr=float(figures.psnr.median()),
        baseline_psnr=float(figures.baseline_psnr.median()),
        identified=None if figures.hits is None else float(figures.hits.mean()),
        null=None if figures.nulls is None else float(figures.nulls.mean()),
        verdict=_verdict(figures, certified=certified),
        seconds=outcome.seconds,
        strength=outcome.strength,
    )


def _verdict(figures: Measured, *, certified: bool) -> Verdict:
    """Decide for this batch alone; what holds of others is the business of a duel.

    Several victims leak if more of them are identified, by a tenth, than in any draw of the null.
    """
    if figures.identified is None or figures.null is None:
        return Verdict.INCONCLUSIVE
    identified = figures.identified.double()
    if identified.numel() == 1:
        return victim_verdict(bool(identified.item()), among=AMONG, certified=certified)
    most = figures.null.double().mean(dim=(0, 2)).max()
    return victim_verdict(bool(identified.mean() - most > MARGIN), among=AMONG, certified=certified)


def _not_applicable(x: Tensor, reason: str) -> Reconstructed:
    return Reconstructed(
        images=torch.full_like(x, 0.5),
        psnr=math.nan,
        baseline_psnr=math.nan,
        identified=None,
        null=None,
        verdict=Verdict.NOT_APPLICABLE,
        seconds=0.0,
        note=reason,
    )


def _noise(pipeline: Pipeline, trainer: Trainer, n_clients: int, dim: int, rows: int) -> float:
    std = noise_std_of(pipeline, trainer, n_clients=n_clients, dim=dim)
    return std * math.sqrt(n_clients / rows)


def _pool(pool: Data | Tensor | None, labels: Tensor) -> Pool | None:
    if pool is None:
        return None
    if isinstance(pool, Tensor):
        alike = bool((labels == labels[0]).all())
        require(alike, "A pool without labels stands for a batch of one label", "several")
        return Pool(pool, labels[:1].expand(len(pool)))
    return Pool(*pool)
