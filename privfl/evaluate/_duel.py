"""Every attack against every pipeline: the tasks, and the table made of them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from privfl.attacks.poisoning import Poisoning
from privfl.core import State, require, require_count
from privfl.evaluate._cells import Harvest
from privfl.evaluate._contender import Contender, Inversion, Poison, Probe
from privfl.evaluate._scenario import Scenario
from privfl.evaluate._schedule import Progress, Schedule
from privfl.evaluate._store import Store
from privfl.evaluate._table import Column, Table
from privfl.evaluate._tasks import ProbeTask, Task, TrainTask
from privfl.pipeline import Pipeline

Attack = Poisoning | Inversion | Poison | Probe


@dataclass(frozen=True)
class Duel:
    """Hold what meets what, before anything runs.

    Attributes:
        scenario: the ground.
        contenders: the rows; an undefended one is the positive control of every probe.
        poisons, probes: the columns.
        seeds: of each training run.
        illustrations, extras: tasks for pictures, behind all that a verdict waits for.
    """

    scenario: Scenario
    contenders: tuple[Contender, ...]
    poisons: tuple[Poison, ...]
    probes: tuple[Probe, ...]
    seeds: int = 3
    illustrations: tuple[Task, ...] = field(default=(), repr=False)
    extras: tuple[Task, ...] = field(default=(), repr=False)

    @property
    def rounds_kept(self) -> tuple[int, ...]:
        """Rounds whose weights the probes need."""
        return tuple(sorted({probe.round for probe in self.probes} - {0}))

    def tasks(self) -> list[Task]:
        """List all tasks in the order of their worth: what is cut off is what is worth least.

        First the privacy columns, which are the strip's pictures too, then the first two poisoning
        columns under every seed, then the others, and the other pictures last.
        """
        first, others = self.poisons[:2], self.poisons[2:]
        ordered = [
            *self._weights_for_probes(),
            *self._probe_tasks(),
            *self._trainings(first),
            *self._trainings(others),
            *self.illustrations,
            *self._trainings_of_the_unattacked(),
            *self.extras,
        ]
        return list(dict.fromkeys(ordered))

    def _weights_for_probes(self) -> list[Task]:
        """Train what later probes start from, so that no two of them train it at once."""
        return [TrainTask(Pipeline(), 0, keep=self.rounds_kept)] if self.rounds_kept else []

    def _probe_tasks(self) -> list[Task]:
        probes = sorted(self.probes, key=lambda probe: probe.round)
        declared = [
            self.probe_task(contender, probe)
            for contender in self.contenders
            for probe in probes
            if contender.meets(probe.name)
        ]
        return [*(self.control(probe) for probe in probes), *declared]

    def _trainings(self, poisons: tuple[Poison, ...]) -> list[Task]:
        """List training runs, seed by seed: without attack, twins, and attacked."""
        tasks: list[Task] = []
        for seed in range(self.seeds):
            for row in self.contenders:
                if seed and not self._is_poisoned(row):
                    continue
                met = [poison for poison in poisons if row.meets(poison.name)]
                tasks.append(self.training(row, seed))
                if met:
                    tasks.append(self.training(row, seed, honest_only=True))
                tasks += [
                    self.training(row, seed, poison)
                    for poison in met
                    if seed == 0 or not poison.is_idle(self.scenario)
                ]
        return tasks

    def _trainings_of_the_unattacked(self) -> list[Task]:
        """List the other seeds of rows that nobody poisons: no verdict waits for them."""
        rows = [row for row in self.contenders if not self._is_poisoned(row)]
        return [self.training(row, seed) for seed in range(1, self.seeds) for row in rows]

    def _is_poisoned(self, row: Contender) -> bool:
        return any(row.meets(poison.name) for poison in self.poisons)

    def training(
        self,
        contender: Contender,
        seed: int,
        poison: Poison | None = None,
        *,
        honest_only: bool = False,
    ) -> TrainTask:
        """Return one training run."""
        plain = poison is None and not honest_only and contender.pipeline == Pipeline()
        return TrainTask(
            contender.pipeline,
            seed,
            poison,
            honest_only=honest_only,
            skip_client_half=contender.skip_client_half and poison is not None,
            keep=self.rounds_kept if plain else (),
        )

    def probe_task(self, contender: Contender, probe: Probe) -> ProbeTask:
        """Return one attack on one row's view."""
        return ProbeTask(contender.pipeline, probe, rounds_kept=self.rounds_kept)

    def control(self, probe: Probe) -> ProbeTask:
        """Return the same attack on the undefended twin."""
        return ProbeTask(Pipeline(), probe, rounds_kept=self.rounds_kept)

    def columns(self) -> tuple[Column, ...]:
        """Describe the columns; the first holds the runs without an attack."""
        rounds = self.scenario.rounds
        return (
            Column("none", "poisoning", f"{rounds} rounds", "nobody attacks"),
            *(poison.column(rounds) for poison in self.poisons),
            *(probe.column() for probe in self.probes),
        )

    def run(
        self,
        *,
        jobs: int = 1,
        store: Store,
        deadline: float | None = None,
        progress: Progress | None = None,
    ) -> dict[Task, State]:
        """Run what fits into the time."""
        schedule = Schedule(self.scenario, store, jobs, deadline, progress)
        return schedule.run(self.tasks())

    def table(self, results: Mapping[Task, State], facts: Mapping[str, str]) -> Table:
        """Make the table of what was run."""
        harvest = Harvest(self, results)
        return Table(
            title=self.scenario.name,
            rows=tuple(harvest.row(contender) for contender in self.contenders),
            columns=self.columns(),
            cells=harvest.cells(),
            seeds=harvest.seeds_run(),
            wanted=self.seeds,
            facts=facts,
        )


def duel(
    attacks: Mapping[str, Attack] | Sequence[Attack],
    pipelines: Mapping[str, Pipeline] | Sequence[Pipeline | Contender],
    scenario: Scenario | None = None,
    *,
    seeds: int = 3,
    jobs: int = 1,
    store: str | Path | None = None,
    minutes: float | None = None,
    progress: Progress | None = None,
) -> Table:
    """Let every attack meet every pipeline, and return the table of verdicts.

    Args:
        attacks: from `privfl.attacks`; a `Probe` says more about an inversion.
        pipelines: by name, or a sequence.
        scenario: None is ``Scenario.digits()``.
        seeds: paired training runs; a poisoning verdict needs at least 3.
        jobs: processes; more than one needs a scenario whose model is an importable function.
        store: a folder in which results are kept and found again; None keeps none.
        minutes: stop in time; what does not fit is missing from the table, which says so.
        progress: called with (done, total, label).

    Raises:
        ValueError: for no attacks or pipelines, or names that come twice.

    >>> from privfl import Pipeline
    >>> from privfl.attacks.poisoning import SignFlip
    >>> from privfl.evaluate import Scenario, duel
    >>> scenario = Scenario.digits().but(rounds=1)
    >>> table = duel([SignFlip(5.0, n_byzantine=2)], [Pipeline()], scenario, seeds=1)
    >>> table["Pipeline()", "SignFlip(scale=5.0, n_byzantine=2)"].verdict.value
    'INCONCLUSIVE'
    """
    require_count("seeds", seeds, least=1)
    require_count("jobs", jobs, least=1)
    start = time.monotonic()
    named = _named(attacks, "attacks")
    columns = [_column(name, attack) for name, attack in named.items()]
    built = Duel(
        Scenario.digits() if scenario is None else scenario,
        tuple(_contender(name, p) for name, p in _named(pipelines, "pipelines").items()),
        tuple(column for column in columns if isinstance(column, Poison)),
        tuple(column for column in columns if isinstance(column, Probe)),
        seeds,
    )
    results = built.run(
        jobs=jobs,
        store=Store(None if store is None else Path(store)),
        deadline=None if minutes is None else start + 60 * minutes,
        progress=progress,
    )
    return built.table(results, facts_of(built, time.monotonic() - start, jobs))


def facts_of(built: Duel, seconds: float, jobs: int) -> dict[str, str]:
    """State the settings and the cost, as they stand under the table."""
    scenario = built.scenario
    local = scenario.local
    return {
        "clients": f"{scenario.n_clients}, of whom {scenario.n_byzantine} attack",
        "split": f"Dirichlet({scenario.alpha:g}) by label",
        "training": f"{scenario.rounds} rounds of {local!r}",
        "data": f"{len(scenario.train[1]):,} for training, {len(scenario.test[1]):,} for testing",
        "randomness": "seeded, so that runs can be repeated: epsilon is as designed, "
        "with unseeded noise",
        "software": f"torch {torch.__version__}",
        "time": f"{seconds:.0f} s with {jobs} process{'es' if jobs > 1 else ''}",
    }


def _named(things: Mapping[str, object] | Sequence[object], what: str) -> dict[str, object]:
    if isinstance(things, Mapping):
        named = dict(things)
    else:
        pairs = [(getattr(thing, "name", None) or repr(thing), thing) for thing in things]
        named = dict(pairs)
        require(len(named) == len(pairs), f"{what} must have different names", len(pairs))
    require(bool(named), f"A duel needs {what}", "none")
    return named


def _column(name: str, attack: object) -> Poison | Probe:
    if isinstance(attack, Poison | Probe):
        return attack
    if isinstance(attack, Poisoning):
        return Poison(name, attack)
    require(callable(attack), "An attack comes from privfl.attacks", repr(attack))
    return Probe(name, attack)  # type: ignore[arg-type]


def _contender(name: str, pipeline: object) -> Contender:
    if isinstance(pipeline, Contender):
        return pipeline
    wanted = "pipelines must be Pipelines, by name or in a sequence"
    require(isinstance(pipeline, Pipeline), wanted, repr(pipeline))
    return Contender(name, pipeline)  # type: ignore[arg-type]
