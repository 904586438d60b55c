"""FedAvg over banks or cards: plain, with noise in each step, or with noise on the mean."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from privfl import Federation, Ledger, Pipeline
from privfl.core import Party
from privfl.defenses.dp import DPSGD, CentralGaussianNoise, Clip
from privfl.learning import LocalSGD
from privfl.parts import Data, Mean, Trainer
from privfl.sampling import Everybody, Poisson, Sampling

LOCAL = LocalSGD(lr=0.3, batch_size=50)  # of a bank: payments by the thousand
LOCAL_OF_CARD = LocalSGD(lr=0.3, batch_size=10)  # by the dozen
CLIP_NORM = 0.3  # of a card's update
CARDS_RATE = 0.2  # the coin by which a card takes part in a round


@dataclass(frozen=True)
class Way:
    """Say how clients train, and whom that hides.

    Attributes:
        pipeline: what is done to their updates.
        local: what a client does in a round.
        sampling: which clients take part.
        hides: "payment", "card" or nobody.
    """

    pipeline: Pipeline = field(default_factory=Pipeline)
    local: Trainer = LOCAL
    sampling: Sampling = field(default=Everybody())
    hides: str = ""


BANKS = Way()
CARDS = Way(local=LOCAL_OF_CARD, sampling=Poisson(rate=CARDS_RATE))


def hiding_payments(noise_multiplier: float) -> Way:
    """Hide each payment from everybody but its bank, the server included: DP-SGD in the banks."""
    drawn = Poisson(rate=0.05)
    local = DPSGD(lr=1.0, noise_multiplier=noise_multiplier, steps=10, sampling=drawn)
    return Way(local=local, hides="payment")


def hiding_cards(noise_multiplier: float) -> Way:
    """Hide each card with all its payments from everybody but the server: noise on the mean."""
    pipeline = Pipeline(Clip(CLIP_NORM), Mean(), CentralGaussianNoise(noise_multiplier))
    return Way(pipeline, CARDS.local, CARDS.sampling, hides="card")


def make_model() -> nn.Module:
    """Make a logistic regression that takes every payment for fraud as for genuine."""
    made = nn.Linear(10, 2)
    for parameter in made.parameters():
        nn.init.zeros_(parameter)
    return made


@dataclass(frozen=True)
class Trained:
    """Hold a model, and epsilon of what is hidden; None where nothing is."""

    model: nn.Module
    epsilon: float | None = None


def train(way: Way, clients: list[Data], n_rounds: int, *, delta: float, seed: int) -> Trained:
    """Train a model over the clients.

    What protects nobody is seeded. Noise that protects is not: who knows its seed can take it away,
    so a ledger would count it as none.
    """
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.db")
        # each bank has an account of its own payments; cards share one, where a round counts once
        names: dict[Party, str] = {
            k: "cards" if way.hides == "card" else f"bank {k}" for k in range(len(clients))
        }
        federation = Federation(
            make_model(),
            clients,
            way.pipeline,
            loss=nn.functional.cross_entropy,
            local=way.local,
            sampling=way.sampling,
            ledger=ledger.datasets(names) if way.hides else None,
            generator=None if way.hides else torch.Generator().manual_seed(seed),
            delta=delta,
        )
        for _ in federation.rounds(n_rounds):
            pass
        spent = ledger.epsilon(delta, dataset=names[0]).upper if way.hides else None
        return Trained(federation.model, spent)
