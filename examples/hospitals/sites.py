"""Five hospitals of different sizes, each with patients of its own kind."""

from dataclasses import dataclass

import torch
from torch import Tensor

from privfl.data import mnist_sample, site_skew
from privfl.parts import Data

SIZES = (8, 4, 4, 2, 2)  # of the hospitals to each other
LEAST = 40  # patients of the smallest
ALPHA = 1.0  # smaller: each hospital sees more of what it is known for
HELD_OUT = 0.3  # of each hospital's patients, for testing

# What is usual in each column, and how far patients scatter: rounded medians and quartiles of these
# very patients, so that no epsilon below covers these sixty figures. Take yours from a reference.
USUAL = torch.tensor(
    [
        *(13, 19, 86, 550, 0.096, 0.093, 0.062, 0.034, 0.18, 0.062),
        *(0.32, 1.1, 2.3, 25, 0.0064, 0.02, 0.026, 0.011, 0.019, 0.0032),
        *(15, 25, 98, 690, 0.13, 0.21, 0.23, 0.1, 0.28, 0.08),
    ]
)
SCATTER = torch.tensor(
    [
        *(3, 4.2, 21, 270, 0.014, 0.049, 0.075, 0.04, 0.025, 0.0062),
        *(0.18, 0.47, 1.3, 20, 0.0022, 0.014, 0.02, 0.0052, 0.0062, 0.0017),
        *(4.3, 6.4, 31, 420, 0.022, 0.14, 0.2, 0.071, 0.05, 0.015),
    ]
)


@dataclass(frozen=True)
class Site:
    """Hold the patients of one hospital: those to train on, and those to test on."""

    train: Data
    test: Data


def tumours() -> Data:
    """Read 569 breast tumours: 30 measures (569, 30) in public units, and 1 for benign (569,).

    Raises:
        SystemExit: where scikit-learn, which ships the table, is not installed.
    """
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError as missing:
        said = "The table of tumours comes with scikit-learn: pip install scikit-learn"
        raise SystemExit(said) from missing
    table = load_breast_cancer()
    x = torch.from_numpy(table.data).float()
    return ((x - USUAL) / SCATTER).clamp(-3, 3), torch.from_numpy(table.target).long()


def images() -> Data:
    """Read 6,000 pictures of ten kinds, which stand for scans: (6000, 196), (6000,)."""
    digits = mnist_sample()
    x, y = (torch.cat(sides) for sides in zip(digits.train, digits.test, strict=True))
    return torch.nn.functional.avg_pool2d(x, 2).flatten(1), y


def deal(patients: Data, seed: int) -> list[Site]:
    """Deal patients to hospitals, of different sizes and with different mixtures of labels."""
    x, y = patients
    shuffle = torch.Generator().manual_seed(seed)
    sites = []
    for rows in site_skew(y, SIZES, alpha=ALPHA, min_size=LEAST, generator=seed):
        mixed = rows[torch.randperm(len(rows), generator=shuffle)]
        test, train = mixed.tensor_split([round(HELD_OUT * len(rows))])
        sites.append(Site((x[train], y[train]), (x[test], y[test])))
    return sites


def together(datas: list[Data]) -> tuple[Tensor, Tensor]:
    """Put the patients of several hospitals side by side."""
    x, y = zip(*datas, strict=True)
    return torch.cat(x), torch.cat(y)
