"""A Flower model as one flat vector."""

from functools import cached_property

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, RecordDict
from torch import Tensor

from privfl.averager import model_hash, moved
from privfl.core import Layout, ProtocolAbort
from privfl.rounds import Release

Numpy = np.ndarray[tuple[int, ...], np.dtype[np.generic]]


class Arrays:
    """Hold the one model in a message: names, arrays and the layout of its vector.

    0-d arrays are coordinates like any other. Integer arrays are no updates: they stay as they were
    sent.
    """

    def __init__(self, name: str, record: ArrayRecord) -> None:
        """Read the record called ``name``."""
        self.name = name
        self.arrays: dict[str, Numpy] = {key: array.numpy() for key, array in record.items()}

    @classmethod
    def of(cls, content: RecordDict) -> "Arrays":
        """Return the model in a message's content.

        Raises:
            ProtocolAbort: where there is none, or more than one.
        """
        records = content.array_records
        if len(records) != 1:
            found = ", ".join(records) or "none"
            raise ProtocolAbort(f"A message holds one model, as an ArrayRecord. Found {found}")
        ((name, record),) = records.items()
        return cls(name, record)

    @cached_property
    def layout(self) -> Layout:
        """Which coordinates make the vector."""
        return Layout.of(self.arrays)  # type: ignore[arg-type]

    @cached_property
    def vector(self) -> Tensor:
        """The parameters: (dim,)."""
        return self.layout.flatten(self.arrays)  # type: ignore[arg-type]

    @cached_property
    def statistics(self) -> Tensor:
        """The running statistics: (statistics_dim,)."""
        return self.layout.flatten_statistics(self.arrays)  # type: ignore[arg-type]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The arrays as tensors, integers included."""
        return {key: torch.from_numpy(x) for key, x in self.arrays.items()}

    @cached_property
    def hash(self) -> bytes:
        """The hash by which both sides know that they talk about the same model."""
        return model_hash(self.layout, self.vector)

    def moved(self, release: Release) -> ArrayRecord:
        """Return the model plus a release, with the names, shapes and dtypes of this one."""
        weights = moved(self.layout, self.arrays, release)  # type: ignore[arg-type]
        return ArrayRecord({key: Array(np.asarray(x)) for key, x in weights.items()})  # type: ignore[union-attr]

    def in_these_dtypes(self, record: ArrayRecord) -> ArrayRecord:
        """Return ``record`` as a strategy should have left it.

        Strategies make floats of integers, and wider floats of floats: what is no update comes back
        as it is here, and the rest in the dtypes from here.
        """
        still = {name: Array(self.arrays[name]) for name in self.layout.excluded if name in record}
        changed = {
            name: Array(record[name].numpy().astype(x.dtype))
            for name, x in self.arrays.items()
            if name in record and name not in still and record[name].dtype != str(x.dtype)
        }
        return ArrayRecord({**record, **still, **changed})
