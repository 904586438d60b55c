"""How well a model serves each hospital."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.stats import mannwhitneyu
from sites import Site, together
from torch import Tensor, nn

from privfl.parts import Data


@dataclass(frozen=True)
class Row:
    """Hold what one way of training came to.

    Attributes:
        own: accuracy at each hospital, on its own held-out patients.
        everywhere: accuracy on the held-out patients of all hospitals.
        auc: area under the ROC curve on the same, one label against the rest, mean over labels.
        epsilon: the least and the most of the hospitals, for one patient; none without a claim.
    """

    own: tuple[float, ...]
    everywhere: float
    auc: float
    epsilon: tuple[float, ...] = ()


@torch.no_grad()
def accuracy(model: nn.Module, data: Data) -> float:
    """Return the share of patients whose label the model guesses."""
    x, y = data
    return float((model(x).argmax(dim=1) == y).double().mean())


def area(scores: Tensor, y: Tensor) -> float:
    """Return the mean over labels of the area under the ROC curve: scores (n, k), labels (n,).

    The area for a label is the chance that a patient who has it scores above one who has not,
    which is Mann and Whitney's U over the number of such pairs. A label that all of the patients
    have, or none, is left out.
    """
    areas = []
    for label, column in enumerate(scores.softmax(dim=1).T.double()):
        has, has_not = column[y == label], column[y != label]
        if len(has) and len(has_not):
            pairs = len(has) * len(has_not)
            areas.append(mannwhitneyu(has.numpy(), has_not.numpy()).statistic / pairs)
    return float(sum(areas) / len(areas))


@torch.no_grad()
def measured(
    models: Sequence[nn.Module], sites: Sequence[Site], epsilon: tuple[float, ...] = ()
) -> Row:
    """Measure the model that each hospital uses, at home and, on average, everywhere."""
    x, y = together([site.test for site in sites])
    return Row(
        own=tuple(accuracy(model, s.test) for model, s in zip(models, sites, strict=True)),
        everywhere=sum(accuracy(model, (x, y)) for model in models) / len(models),
        auc=sum(area(model(x), y) for model in models) / len(models),
        epsilon=epsilon,
    )


def averaged(rows: Sequence[Row]) -> Row:
    """Average over several ways to deal the patients; epsilon is the worst and does not average."""
    spans = [row.epsilon for row in rows if row.epsilon]
    return Row(
        own=tuple(sum(column) / len(rows) for column in zip(*(r.own for r in rows), strict=True)),
        everywhere=sum(row.everywhere for row in rows) / len(rows),
        auc=sum(row.auc for row in rows) / len(rows),
        epsilon=(min(map(min, spans)), max(map(max, spans))) if spans else (),
    )
