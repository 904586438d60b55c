"""What came of a guarded round."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from privfl.core import Party
from privfl.rounds import Release


@dataclass(frozen=True)
class RoundReport:
    """Say what came of a round.

    Attributes:
        kind: ``train`` or ``evaluate``.
        n_clients: how many were asked.
        survivors: whose update is in the aggregate; nobody's where the round was aborted.
        rejected: whose reply could not be used, and why.
        aborted: why there is no aggregate, or nothing.
        bytes_up, bytes_down: of the busiest client, in letters; the model is not counted.
    """

    kind: str
    n_clients: int
    survivors: tuple[Party, ...] = ()
    rejected: Mapping[Party, str] = field(default_factory=dict)
    aborted: str = ""
    bytes_up: int = 0
    bytes_down: int = 0

    @classmethod
    def of(
        cls, kind: str, n_clients: int, release: Release, rejected: Mapping[Party, str]
    ) -> "RoundReport":
        """Report a round that has an aggregate; of ``rejected`` there was no letter to read."""
        return cls(
            kind,
            n_clients,
            release.survivors,
            {**rejected, **release.rejected},
            bytes_up=release.bytes_up,
            bytes_down=release.bytes_down,
        )

    def __str__(self) -> str:
        """Say it in a line."""
        if self.aborted:
            return f"{self.kind}: no aggregate of {self.n_clients}. {self.aborted}"
        return f"{self.kind}: {len(self.survivors)} of {self.n_clients}"
