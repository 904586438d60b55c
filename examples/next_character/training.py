"""How phones train: in the open, behind masks, with noise that hides one, or in one place."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from keyboard import Keyboard, loss
from torch import nn

from privfl import Budget, Federation, Ledger, Pipeline
from privfl.defenses.dp import CentralGaussianNoise, Clip
from privfl.defenses.masking import SecAgg
from privfl.learning import Algorithm, Centralised, FedOpt, LocalSGD, ServerMomentum
from privfl.parts import Data, Mean
from privfl.sampling import Everybody, Poisson, Sampling

CLIP_NORM = 0.3  # of a phone's update: most are longer, and clipping costs less than noise
DELTA = 1e-4  # below one over the number of phones
BUDGET = Budget(epsilon=8, delta=DELTA)  # training stops before the round that would pass it
LOCAL = LocalSGD(lr=2.0, batch_size=9)


@dataclass(frozen=True)
class Way:
    """Say how phones train.

    Attributes:
        pipeline: what is done to their updates.
        algorithm: how the server steps; momentum makes up for the few phones of a round.
        rate: the coin by which a phone takes part in a round; 1: all of them.
    """

    pipeline: Pipeline = field(default_factory=Pipeline)
    algorithm: Algorithm[Any] = field(default=FedOpt(ServerMomentum(momentum=0.9)))
    rate: float = 0.1

    @property
    def is_private(self) -> bool:
        """Whether it hides a phone."""
        return bool(self.pipeline.contract.claims_privacy)

    @property
    def sampling(self) -> Sampling:
        """Return who takes part."""
        return Poisson(rate=self.rate) if self.rate < 1 else Everybody()


CENTRALISED = Way(algorithm=Centralised(), rate=1.0)
PLAIN = Way()
MASKED = Way(Pipeline(Clip(CLIP_NORM), SecAgg()))


def noised(noise_multiplier: float = 0.8, *, rate: float = 0.1) -> Way:
    """Hide each phone with all its text from whoever sees the models, but not from the server."""
    pipeline = Pipeline(Clip(CLIP_NORM), Mean(), CentralGaussianNoise(noise_multiplier))
    return Way(pipeline, rate=rate)


@dataclass(frozen=True)
class Trained:
    """Hold a model, and what it cost: epsilon at `DELTA` against whom, and rounds that it took."""

    model: nn.Module
    n_rounds: int
    epsilon: float | None = None
    against: str = ""


def train(way: Way, phones: list[Data], n_rounds: int, *, seed: int) -> Trained:
    """Train a keyboard on all phones.

    What protects nobody is seeded. Noise that protects is not: who knows its seed can take it away,
    so a ledger would count it as none.
    """
    model = Keyboard(seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.db")
        federation = Federation(
            model,
            phones,
            way.pipeline,
            loss=loss,
            algorithm=way.algorithm,
            local=LOCAL,
            sampling=way.sampling,
            ledger=ledger.dataset("phones") if way.is_private else None,
            generator=None if way.is_private else torch.Generator().manual_seed(seed),
            delta=DELTA,
        )
        rounds = list(federation.rounds(n_rounds, budget=BUDGET if way.is_private else None))
        if not way.is_private:
            return Trained(model, len(rounds))
        epsilon = ledger.epsilon(DELTA, unit="client", vantage="outsider").upper
        return Trained(model, len(rounds), epsilon, federation.history[-1].against)
