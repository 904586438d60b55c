"""The file that a guarded run goes on from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flwr.app import Array, ArrayRecord
from torch import Tensor

from privfl.checkpoint import read_checkpoint, write_checkpoint
from privfl.core import Account, State, require
from privfl.flower._arrays import Arrays
from privfl.flower._letters import Kind
from privfl.pipeline import Pipeline


def write_rounds(
    path: Path,
    shield: Pipeline,
    model: Arrays,
    states: Mapping[Kind, State],
    ledger: Account | None,
) -> None:
    """Write the model, what the pipeline remembers, and the ledger's head: no secret."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(
        path,
        {
            "pipeline": repr(shield),
            "layout": model.layout.hash,
            "model": model.tensors,
            "states": dict(states),
            "head": None if ledger is None else ledger.ledger.head,  # type: ignore[attr-defined]
        },
    )


@dataclass(frozen=True)
class Saved:
    """Hold what `write_rounds` wrote.

    Attributes:
        layout: a hash of the model's layout.
        model: its arrays.
        states: what the pipeline remembers, by kind of round.
    """

    layout: str
    model: Mapping[str, Tensor]
    states: dict[Kind, State]

    def arrays(self, like: Arrays) -> ArrayRecord:
        """Return the model, which must be laid out as ``like`` is."""
        same = self.layout == like.layout.hash
        require(same, "The checkpoint must hold a model like the initial one", "another layout")
        return ArrayRecord({name: Array(x.numpy()) for name, x in self.model.items()})


def read_rounds(path: Path, shield: Pipeline, ledger: Account | None) -> Saved:
    """Read what `write_rounds` wrote, under the same pipeline.

    Raises:
        ValueError: for a checkpoint of another pipeline, or one that had a ledger.
        LedgerTampered: for a ledger that does not hold the head of the checkpoint.
    """
    saved = read_checkpoint(path)
    wanted = f"{path} must be a checkpoint of {shield!r}"
    require(saved.get("pipeline") == repr(shield), wanted, saved.get("pipeline"))
    head = saved["head"]
    require(head is None or ledger is not None, "The run keeps a ledger", "none", "Pass ledger=")
    if head is not None and ledger is not None:
        ledger.ledger.verify(anchor=head)  # type: ignore[attr-defined]
    return Saved(saved["layout"], saved["model"], dict(saved["states"]))
