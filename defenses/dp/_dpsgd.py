"""Local training with record-level privacy."""

from dataclasses import Field, dataclass, fields
from typing import ClassVar

import torch
from torch import nn

from privfl.core import (
    Charge,
    Relation,
    Unit,
    Vantage,
    require,
    require_count,
    require_positive,
)
from privfl.crypto import Stream
from privfl.defenses.dp._clipped_sum import add_noise_to_all
from privfl.defenses.dp._per_sample_by import per_sample, require_way
from privfl.defenses.dp._private_sampling import require_sampling, require_size
from privfl.parts import Data, Loss, Trained, Trainer
from privfl.sampling import Poisson, Sampling


@dataclass(frozen=True, repr=False)
class DPSGD(Trainer):
    """Train on one client's data by SGD whose every step hides each single record.

    A step clips each record's own gradient to ``clip_norm``, adds them up, adds Gaussian noise of
    standard deviation ``noise_multiplier * clip_norm`` and divides by the public batch size (Abadi
    et al. 2016, https://arxiv.org/abs/1607.00133, algorithm 1). No loss is reported: without noise
    it would be a release of its own. Works first in a `Pipeline` or as ``Federation(local=…)``.

    Args:
        lr: learning rate.
        clip_norm: L2 bound on each record's gradient, over all trained weights together.
        noise_multiplier: standard deviation of the noise over ``clip_norm``.
        batch_size: records a step, on average; what sums are divided by.
        epochs: passes over the data, on average.
        steps: stop after so many steps, however many epochs that are; None: after ``epochs``.
        momentum: of the SGD; it only sees what is noised.
        sampling: how records are drawn, instead of ``Poisson(size=batch_size)``.
        relation: which datasets are neighbours.
        gradients: how they are computed, "functorch", "hooks", "ghost", or None for the fastest.

    Raises:
        ValueError: a batch larger than the data, a model in eval mode, layers without per-record
            gradients such as BatchNorm.

    Guarantees:
        - Equals a loop over records, one at a time, in every way of computing gradients.
        - Noise of exactly that scale on each coordinate, fresh in each step; frozen weights stay.
        - The divisor is the public batch size, also where Poisson sampling draws no record at all.
        - A record whose gradient is not finite counts as zero.
        - Nothing is left on the model: no hooks, no attributes, the same keys.

    >>> DPSGD(lr=0.2, steps=6)
    DPSGD(lr=0.2, steps=6)
    >>> DPSGD(noise_multiplier=1.5, batch_size=60, steps=100).charges(6000)[0].event
    PoissonSampledDpEvent(sampling_probability=0.01, event=GaussianDpEvent(noise_multiplier=1.5))
    """

    reports: ClassVar[tuple[str, ...]] = ()
    fills_grad: ClassVar[bool] = False

    lr: float = 0.1
    clip_norm: float = 1.0
    noise_multiplier: float = 1.0
    batch_size: int = 32
    epochs: int = 1
    steps: int | None = None
    momentum: float = 0.0
    sampling: Sampling | None = None
    relation: Relation | str = Relation.ZERO_OUT
    gradients: str | None = None

    def __post_init__(self) -> None:
        """Refuse training that takes no step, hides nothing or cannot be accounted."""
        for name in ("lr", "clip_norm", "noise_multiplier"):
            require_positive(name, getattr(self, name))
        require_count("batch_size", self.batch_size, least=1)
        require_count("epochs", self.epochs, least=1)
        if self.steps is not None:
            require_count("steps", self.steps, least=1)
        require(0 <= self.momentum < 1, "momentum must be in [0, 1)", self.momentum)
        object.__setattr__(self, "relation", Relation.of(self.relation))
        require_way(self.gradients)
        require_sampling(self._sampler, self.relation)

    def __repr__(self) -> str:
        """Write it as it was written: without what was left out."""
        given = ((f.name, getattr(self, f.name)) for f in fields(self) if self._was_given(f))
        told = (f"{k}={str(v)!r}" if k == "relation" else f"{k}={v!r}" for k, v in given)
        return f"{type(self).__name__}({', '.join(told)})"

    def train(self, model: nn.Module, data: Data, loss: Loss, generator: Stream) -> Trained:
        """Train ``model`` in place on ``data``; ``loss`` is taken of one record at a time."""
        x, y = data
        size = require_size(self._sampler, len(x))
        work = per_sample(model, self.clip_norm, self.gradients, size=size)
        weights = list(work.params.values())
        optimizer = torch.optim.SGD(weights, self.lr, momentum=self.momentum)
        std = self.noise_multiplier * self.clip_norm
        with work:
            # one stream for draws and noise, which only moves on: a second call repeats neither
            for rows in self._sampler.draws(len(x), self.n_steps(len(x)), generator):
                rows = rows.to(x.device)
                sums = work.of_loss(x[rows], y[rows], loss)
                for p, noisy in zip(weights, add_noise_to_all(sums, std, generator), strict=True):
                    p.grad = noisy / size
                optimizer.step()
        optimizer.zero_grad()
        return Trained(model)

    def charges(self, n_records: int) -> tuple[Charge, ...]:
        """Return the steps of one call, against everybody but the client itself (rule R12)."""
        from dp_accounting import GaussianDpEvent

        require_size(self._sampler, n_records)
        step, steps = GaussianDpEvent(self.noise_multiplier), self.n_steps(n_records)
        event, count = self._sampler.accounted(step, n_records, steps, self.relation)
        server, relation = Vantage.SERVER, Relation.of(self.relation)
        return (Charge(event, Unit.RECORD, server, relation, count=count, n_units=n_records),)

    @property
    def _sampler(self) -> Sampling:
        return Poisson(size=self.batch_size) if self.sampling is None else self.sampling

    def n_steps(self, n_records: int) -> int:
        """Return ``steps``, or what ``epochs`` over ``n_records`` come to."""
        if self.steps is not None:
            return self.steps
        return self.epochs * self._sampler.steps_of(n_records)

    def _was_given(self, field: Field[object]) -> bool:
        return bool(getattr(self, field.name) != field.default)
