"""Averaging lists of weights round after round."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from privfl.core import (
    Account,
    Layout,
    Model,
    State,
    Weights,
    decode,
    encode,
    hash_of,
    require,
    require_account,
)
from privfl.rounds import Line, Release, without_keys
from privfl.rounds._setting import refuse_statistics

if TYPE_CHECKING:
    from privfl.pipeline import Pipeline


class Averager:
    """Average what clients trained, under a pipeline, and remember what the next round needs.

    Updates are taken relative to the model: to a module as it stands at the call (it must hold the
    weights the clients started from), else to this averager's own last result.

    Attributes:
        release: of the last call.

    >>> from torch import nn
    >>> from privfl import Pipeline
    >>> model = nn.Linear(2, 1)
    >>> averager = Pipeline().averager(model)
    >>> _ = model.load_state_dict(averager([model.state_dict()] * 3))
    >>> print(averager.release)
    3 of 3
    """

    def __init__(
        self,
        pipeline: "Pipeline",
        model: Model,
        *,
        layout: Layout | None = None,
        ledger: Account | None = None,
    ) -> None:
        """Read the layout of ``model`` and refuse one that the pipeline cannot serve."""
        self.pipeline, self.ledger = pipeline, None if ledger is None else require_account(ledger)
        self.layout = Layout.of(model) if layout is None else layout
        require_fit(pipeline, self.layout)
        self.release: Release | None = None
        self._model = model
        self._state: State = None

    def __call__(
        self,
        states: Sequence[Model],
        *,
        n_examples: Sequence[float] | Tensor | None = None,
    ) -> Weights:
        """Return the new weights, of the same kind as the model's."""
        layout, base = self.layout, self._model
        require(len(states) > 0, "states must hold at least one client's weights", "none")
        start = layout.flatten(base)
        statistics = self._statistics(states, base)
        self.release = self.pipeline.aggregate(
            layout.stack(states, minus=base).to(start.device),
            n_examples=n_examples,
            state=self._state,
            statistics=statistics,
            ledger=self.ledger,
            model=model_hash(layout, start),
        )
        self._state = self.release.state
        weights = moved(layout, base, self.release)
        if not isinstance(base, nn.Module):
            self._model = weights
        return weights

    def _statistics(self, states: Sequence[Model], base: Model) -> Tensor | None:
        if not self.layout.statistics_dim:
            return None
        rows = torch.stack([self.layout.flatten_statistics(state) for state in states])
        return rows - self.layout.flatten_statistics(base)

    def state_dict(self) -> dict[str, object]:
        """Return what the next round needs, to keep beside a checkpoint of the model: no secret."""
        return {"pipeline": repr(self.pipeline), "state": encode(without_keys(self._state))}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on from what `state_dict` returned, under the same pipeline."""
        wanted = "The state must come from an averager of this pipeline"
        require(state.get("pipeline") == repr(self.pipeline), wanted, state.get("pipeline"))
        kept = state.get("state")
        wanted = "The state's entry 'state' holds bytes"
        require(isinstance(kept, bytes), wanted, type(kept).__name__)
        self._state = decode(kept)  # type: ignore[arg-type]


def moved(layout: Layout, base: Model, release: Release) -> Weights:
    """Return the weights ``base`` plus a release, running statistics included."""
    by = release.statistics
    statistics = None if by is None or not len(by) else layout.flatten_statistics(base) + by
    return layout.unflatten(layout.flatten(base) + release.update, base, statistics=statistics)


def require_fit(line: Line, layout: Layout) -> None:
    """Refuse a layout with running statistics where the pipeline cannot average them apart."""
    refuse_statistics(line.contract, layout.statistics_dim)


def model_hash(layout: Layout, vector: Tensor) -> bytes:
    """Hash the weights that were broadcast and their layout; what stays local is in neither."""
    return hash_of((layout.hash, vector))
