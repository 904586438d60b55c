"""What a round publishes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from privfl.core import Party, Rows, State, hash_of


@dataclass(frozen=True)
class Release:
    """Hold the outcome of one round.

    Attributes:
        update: (d,) the aggregate, in the dtype and on the device of the updates; empty
            for a server whose clients open.
        survivors: who is counted.
        n_clients: how many were asked.
        scalars: mean of each declared scalar, in the units in which it was supplied.
        statistics: (s,) mean of the running statistics that were averaged apart.
        denominator: what the sum was divided by: a number, or (d,) where owners differ.
        realised: the weight of those who are counted, in the same form.
        rejected: whose reply could not be used, and why (public reasons only).
        bytes_up, bytes_down: of the busiest client, in letters as they travelled.
        state: what the next round needs, a value that `privfl.core.encode` can write.
        opened: what the opener held before the aggregator; it is not published.
        transcript: a recording, where one was asked for.
    """

    update: Tensor = field(repr=False)
    survivors: tuple[Party, ...]
    n_clients: int
    scalars: Mapping[str, float] = field(default_factory=dict)
    statistics: Tensor | None = field(default=None, repr=False)
    denominator: float | Tensor = field(default=0.0, repr=False)
    realised: float | Tensor = field(default=0.0, repr=False)
    rejected: Mapping[Party, str] = field(default_factory=dict)
    bytes_up: int = 0
    bytes_down: int = 0
    state: State = field(default=None, repr=False)
    opened: Rows | None = field(default=None, repr=False)
    transcript: object = field(default=None, repr=False)

    @property
    def digest(self) -> bytes:
        """A hash of the update, by which a ledger knows it again: 32 bytes."""
        return hash_of(self.update)

    def __str__(self) -> str:
        """Say who is counted, and by how much a public denominator shrank the update.

        >>> import torch
        >>> print(Release(torch.zeros(2), tuple(range(7)), 10, denominator=10.0, realised=7.0))
        7 of 10, scaled by .7
        """
        text = f"{len(self.survivors)} of {self.n_clients}"
        scale = _mean(self.realised) / _mean(self.denominator) if _mean(self.denominator) else 1.0
        if abs(scale - 1) > 5e-4:
            text += f", scaled by {f'{scale:.3g}'.removeprefix('0')}"
        if self.rejected:
            text += f", rejected: {', '.join(str(who) for who in self.rejected)}"
        return text


def _mean(x: float | Tensor) -> float:
    return float(x.double().mean()) if isinstance(x, Tensor) else x
