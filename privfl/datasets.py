"""The clients' data, as it is handed over."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from privfl.core import Party, require
from privfl.parts import Data

RESERVED = ("nobody", "pool")  # who stands in for an empty cohort, and for everybody
Dataset = Data | torch.utils.data.Dataset[tuple[Tensor, Tensor]]


def by_client(datasets: Mapping[Party, Dataset] | Sequence[Dataset]) -> dict[Party, Data]:
    """Return each client's inputs and labels, by its name or its place.

    Raises:
        ValueError: for no clients, or a dataset that is empty or no pairs.
    """
    if not isinstance(datasets, Mapping):
        datasets = dict(enumerate(datasets))
    require(len(datasets) > 0, "datasets must hold at least one client's data", "none")
    taken = [who for who in datasets if who in RESERVED]
    require(not taken, f"No client is called one of {RESERVED}", taken)
    return {who: _pair(who, dataset) for who, dataset in datasets.items()}


def _stacked(who: Party, dataset: torch.utils.data.Dataset[tuple[Tensor, Tensor]]) -> Data:
    """Read a torch Dataset once, into two tensors."""
    items = [dataset[k] for k in range(len(dataset))]  # type: ignore[arg-type]
    require(bool(items), f"Client {who} must hold at least one example", "none")
    inputs, labels = ([torch.as_tensor(item[side]) for item in items] for side in (0, 1))
    return torch.stack(inputs), torch.stack(labels)


def _pair(who: Party, dataset: Dataset) -> Data:
    pair = dataset if isinstance(dataset, tuple | list) else _stacked(who, dataset)
    good = len(pair) == 2 and all(isinstance(part, Tensor) for part in pair)
    require(good, f"The dataset of client {who} is a Dataset or a pair of tensors", type(dataset))
    x, y = pair
    sizes = f"{len(x)} inputs and {len(y)} labels"
    require(len(x) == len(y) > 0, f"Client {who} must hold as many labels as inputs", sizes)
    return x, y
