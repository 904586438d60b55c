"""What happened in each round, and what it cost."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from privfl.core import Budget, Charge, Party, Relation, State, Unit, Vantage
from privfl.ledger._account import Account
from privfl.ledger._claim import UNDEFENDED, Claim
from privfl.ledger._limits import require_within
from privfl.ledger._reckoning import Question, epsilon_for
from privfl.rounds import Release

if TYPE_CHECKING:
    import pandas

# What is asked where nothing is claimed.
UNASKED = Question(Unit.CLIENT, Vantage.OUTSIDER, Relation.ZERO_OUT)


@dataclass(frozen=True)
class Sums:
    """Sum up the releases of one round: means over those who are counted, bytes by party."""

    scalars: Mapping[str, float]
    survivors: int
    bytes_up: int
    bytes_down: int
    clock: float

    @classmethod
    def of(
        cls,
        releases: Sequence[Release],
        counted: Collection[Party],
        traffic: Mapping[Party, tuple[int, int]],
        clock: float,
    ) -> "Sums":
        """Add up."""
        names = dict.fromkeys(name for release in releases for name in release.scalars)
        return cls(
            scalars={name: _mean(name, releases) for name in names},
            survivors=len(counted),
            bytes_up=max((up for up, _ in traffic.values()), default=0),
            bytes_down=max((down for _, down in traffic.values()), default=0),
            clock=clock,
        )


def _mean(name: str, releases: Sequence[Release]) -> float:
    told = [release for release in releases if name in release.scalars]
    heads = [max(len(release.survivors), 1) for release in told]
    total = sum(n * release.scalars[name] for n, release in zip(heads, told, strict=True))
    return total / sum(heads)


@dataclass(frozen=True)
class Record:
    """Describe one round: one row of a table.

    Attributes:
        round: counted from 0.
        loss: mean training loss as it came out of the pipeline (noised where the pipeline noises).
        survivors: how many clients are counted.
        bytes_up, bytes_down: of the busiest client.
        epsilon: after this round, at the history's delta, of the client it is worst for; infinite
            where nothing is claimed.
        unit: whose presence that epsilon hides: a client with all its data, or one record.
        against: the adversary for whom it holds.
        seconds: the round took.
        clock: simulated seconds since the federation began.
    """

    round: int
    loss: float | None
    survivors: int
    bytes_up: int
    bytes_down: int
    epsilon: float
    unit: str
    against: str
    seconds: float
    clock: float


@dataclass
class History:
    """Collect a `Record` a round; ``to_pandas`` makes a table of them.

    Epsilon is the ledger's where there is one. Without a ledger it is what these rounds come to as
    designed, with noise that nobody can repeat, so a run with a seed shows the same figures.
    """

    delta: float
    ledger: Account | None = None
    records: list[Record] = field(default_factory=list)
    _spent: dict[Party, Counter[tuple[Claim, ...]]] = field(default_factory=dict, repr=False)

    def spend(
        self, charges: Mapping[Party, Sequence[Charge]], budget: Budget | None = None
    ) -> None:
        """Write down what one release costs, by client.

        Raises:
            BudgetExceeded: where it would pass a budget; then nothing is written.
        """
        made = _claims(charges)
        if budget is not None:
            self._require_within(budget, made)
        for client, claims in made.items():
            self._spent.setdefault(client, Counter())[claims] += 1

    def _require_within(self, budget: Budget, made: Mapping[Party, tuple[Claim, ...]]) -> None:
        def releases_of(client: Party) -> Counter[tuple[Claim, ...]]:
            return self._spent.get(client, Counter()) + Counter({made[client]: 1})

        pairs = [(client, claim) for client, claims in made.items() for claim in claims]
        require_within(budget, pairs, releases_of)

    def add(self, sums: Sums, *, seconds: float) -> Record:
        """Write one round down, and return the row."""
        question = self._question()
        record = Record(
            round=len(self.records),
            loss=sums.scalars.get("loss"),
            survivors=sums.survivors,
            bytes_up=sums.bytes_up,
            bytes_down=sums.bytes_down,
            epsilon=self._epsilon(question),
            unit=question.unit.value,
            against=str(question.vantage) if question is not UNASKED else "everybody",
            seconds=seconds,
            clock=sums.clock,
        )
        self.records.append(record)
        return record

    def _question(self) -> Question:
        """Ask about a client where one is claimed to be hidden, against the strongest adversary."""
        groups = {claims for spent in self._spent.values() for claims in spent}
        charges = [c.charge for claims in groups for c in claims if c.is_telling]
        asked = [c for c in charges if c.unit is Unit.CLIENT] or charges
        if not asked:
            return UNASKED
        most = max(asked, key=lambda charge: len(charge.vantage.parties))
        return Question(most.unit, most.vantage, most.relation)

    def _epsilon(self, question: Question) -> float:
        if self.ledger is not None:
            kinds = {"unit": question.unit, "vantage": question.vantage}
            return self.ledger.epsilon(self.delta, relation=question.relation, **kinds).upper  # type: ignore[arg-type]
        each = (epsilon_for(spent, self.delta, question) for spent in self._spent.values())
        return max((interval.upper for interval in each), default=0.0)

    def to_state(self) -> State:
        """Return everything as a value, for a checkpoint."""
        records = tuple(json.dumps(asdict(record)) for record in self.records)
        spent = {who: _text(releases) for who, releases in self._spent.items()}
        return {"records": records, "spent": spent}

    def load_state(self, state: Any) -> None:
        """Go on from what `to_state` returned."""
        self.records = [Record(**json.loads(text)) for text in state["records"]]
        self._spent = {who: _releases(text) for who, text in state["spent"].items()}

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


def _claims(charges: Mapping[Party, Sequence[Charge]]) -> dict[Party, tuple[Claim, ...]]:
    void = (Claim.of(UNDEFENDED),)
    return {who: tuple(map(Claim.of, group)) or void for who, group in charges.items()}


def _text(releases: Mapping[tuple[Claim, ...], int]) -> str:
    return json.dumps([([c.fields for c in claims], n) for claims, n in releases.items()])


def _releases(text: str) -> Counter[tuple[Claim, ...]]:
    pairs = ((tuple(map(Claim.of_fields, claims)), n) for claims, n in json.loads(text))
    return Counter(dict(pairs))
