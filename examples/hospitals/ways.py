"""Ways for hospitals to train: each returns what it came to for every hospital."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from measure import Row, measured
from sites import Site
from study import Study
from torch import nn

from privfl import Federation, Ledger, Pipeline
from privfl.core import Party
from privfl.defenses.dp import Clip
from privfl.defenses.masking import SecAgg
from privfl.learning import Algorithm, Centralised, HierFAVG, QFedAvg
from privfl.parts import Weigh

DELTA = 1e-4  # below one over the patients of the largest hospital
REGIONS = {"north": [0, 3], "south": [1, 2, 4]}


@dataclass(frozen=True)
class Task:
    """One study on one deal of its patients, with a seed for whatever protects nobody."""

    study: Study
    sites: list[Site]
    seed: int

    def together(self, pipeline: Pipeline, algorithm: Algorithm[Any] | None = None) -> Row:
        """Train one model for all hospitals."""
        return measured([self._trained(self.sites, pipeline, algorithm)] * 5, self.sites)

    def alone(self) -> Row:
        """Train a model for each hospital on its own patients."""
        models = [self._trained([site], Pipeline(), None) for site in self.sites]
        return measured(models, self.sites)

    def privately(self) -> Row:
        """Train one model by DP-SGD in each hospital: each patient is hidden, even from the server.

        The noise is not seeded: who knows the seed can take it away, so a ledger counts it as none.
        """
        with tempfile.TemporaryDirectory() as folder:
            names: dict[Party, str] = {k: f"hospital {k}" for k in range(len(self.sites))}
            ledger = Ledger(Path(folder) / "ledger.db")
            model = self.study.model()
            federation = Federation(
                model,
                [site.train for site in self.sites],
                Pipeline(Clip(self.study.clip_norm), SecAgg()),
                loss=nn.functional.cross_entropy,
                local=self.study.private,
                ledger=ledger.datasets(names),
                delta=DELTA,
            )
            for _ in federation.rounds(self.study.rounds):
                pass
            spent = [ledger.epsilon(DELTA, dataset=name).upper for name in names.values()]
        return measured([model] * len(self.sites), self.sites, tuple(spent))

    def _trained(
        self, sites: list[Site], pipeline: Pipeline, algorithm: Algorithm[Any] | None
    ) -> nn.Module:
        model = self.study.model()
        federation = Federation(
            model,
            [site.train for site in sites],
            pipeline,
            loss=nn.functional.cross_entropy,
            algorithm=algorithm,
            local=self.study.local,
            generator=torch.Generator().manual_seed(self.seed),
            delta=DELTA,
        )
        for _ in federation.rounds(self.study.rounds):
            pass
        return model


def fair(task: Task) -> QFedAvg:
    """Count hospitals with a large loss for more."""
    return QFedAvg(q=1.0, lr=task.study.fair_lr)


WAYS: dict[str, Callable[[Task], Row]] = {
    "each alone": Task.alone,
    "FedAvg, by patients": lambda task: task.together(Pipeline(Weigh(max_examples=2000))),
    "FedAvg, by hospitals": lambda task: task.together(Pipeline()),
    "  q-FedAvg": lambda task: task.together(Pipeline(), fair(task)),
    "  two regions": lambda task: task.together(Pipeline(), HierFAVG(REGIONS, edge_rounds=2)),
    "  clip, masks": lambda task: task.together(Pipeline(Clip(task.study.clip_norm), SecAgg())),
    "  clip, masks, DP-SGD": Task.privately,
    "pooled": lambda task: task.together(Pipeline(), Centralised()),
}
