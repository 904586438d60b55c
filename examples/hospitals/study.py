"""What is learned from which patients, and how hard hospitals train for it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from sites import images, tumours
from torch import nn

from privfl.defenses.dp import DPSGD
from privfl.learning import LocalSGD
from privfl.parts import Data
from privfl.sampling import Poisson


@dataclass(frozen=True)
class Study:
    """Fix the patients, the model and the training, so that nothing but the way differs.

    Attributes:
        patients: reads all of them.
        layers: makes the model, its weights drawn from torch's global randomness.
        local: what a hospital does in a round.
        private: the same with noise that hides each patient. All join each step by the same coin,
            so that epsilon is the same for a patient of a small hospital.
        clip_norm: bound on a hospital's update. Masks need one; it is wide, and cuts little.
        fair_lr: q-FedAvg's guess of how steep losses are, as if a round were one long step.
        rounds: how many.
    """

    patients: Callable[[], Data] = field(repr=False)
    layers: Callable[[], nn.Module] = field(repr=False)
    local: LocalSGD
    private: DPSGD
    clip_norm: float
    fair_lr: float
    rounds: int

    def model(self) -> nn.Module:
        """Make the model with which every way begins."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.layers()


def make_linear() -> nn.Module:
    """Make a logistic regression of 30 measures: 62 weights."""
    return nn.Linear(30, 2)


def make_network() -> nn.Module:
    """Make a network for 196 pixels: 6,634 weights."""
    return nn.Sequential(nn.Linear(196, 32), nn.ReLU(), nn.Linear(32, 10))


STUDIES = {
    "tumours": Study(
        tumours,
        make_linear,
        LocalSGD(lr=0.1, batch_size=16),
        DPSGD(lr=0.3, noise_multiplier=1.5, steps=8, sampling=Poisson(rate=0.1)),
        clip_norm=3.0,
        fair_lr=3.0,
        rounds=15,
    ),
    "images": Study(
        images,
        make_network,
        LocalSGD(lr=0.1, batch_size=16),
        DPSGD(lr=1.0, noise_multiplier=1.2, steps=20, sampling=Poisson(rate=0.05)),
        clip_norm=10.0,
        fair_lr=10.0,
        rounds=15,
    ),
}
