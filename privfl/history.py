"""What happened in each round."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from privfl.core import Charge
from privfl.rounds import Release

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Record:
    """Describe one round: one row of a table.

    Attributes:
        round: counted from 0.
        loss: mean training loss as it came out of the pipeline (noised where the pipeline noises).
        survivors: how many clients are counted.
        bytes_up, bytes_down: of the busiest client.
        epsilon: after this round, client level, at the history's delta; infinite without noise.
        against: the adversary for whom that epsilon holds.
        seconds: the round took.
    """

    round: int
    loss: float | None
    survivors: int
    bytes_up: int
    bytes_down: int
    epsilon: float
    against: str
    seconds: float


@dataclass
class History:
    """Collect a `Record` a round; ``to_pandas`` makes a table of them."""

    delta: float
    records: list[Record] = field(default_factory=list)
    _charged: dict[Charge, int] = field(default_factory=dict, repr=False)

    def add(self, release: Release, charges: tuple[Charge, ...], *, seconds: float) -> Record:
        """Write one round down, and return the row."""
        for charge in charges:
            self._charged[charge] = self._charged.get(charge, 0) + charge.count
        epsilon, against = self._epsilon(charges)
        record = Record(
            round=len(self.records),
            loss=release.scalars.get("loss"),
            survivors=len(release.survivors),
            bytes_up=release.bytes_up,
            bytes_down=release.bytes_down,
            epsilon=epsilon,
            against=against,
            seconds=seconds,
        )
        self.records.append(record)
        return record

    def _epsilon(self, charges: tuple[Charge, ...]) -> tuple[float, str]:
        """Return the largest epsilon of this run's charges; a round without any ends it."""
        if not charges or len(self._charged) > len(charges):
            return float("inf"), "everybody"
        from privfl.accounting import epsilon_of  # here: importing it takes a second

        found = [
            (epsilon_of(c.event, self.delta, c.relation, count=count).upper, str(c.vantage))
            for c, count in self._charged.items()
        ]
        return max(found)

    def to_pandas(self) -> "pandas.DataFrame":
        """Return the rounds as a table, one row each (needs pandas)."""
        import pandas

        return pandas.DataFrame([asdict(record) for record in self.records])

    def __len__(self) -> int:
        """Count the rounds."""
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        """Go through the rounds."""
        return iter(self.records)

    def __getitem__(self, k: int) -> Record:
        """Return one round's row."""
        return self.records[k]
