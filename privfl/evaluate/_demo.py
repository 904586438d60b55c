"""The three-minute demo: the grid, and the pictures of the report."""

import time
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from privfl.core import State
from privfl.defenses.dp import Clip, LocalGaussianNoise
from privfl.evaluate._cells import epsilon_text, label_distances
from privfl.evaluate._contender import Probe
from privfl.evaluate._duel import Duel, facts_of
from privfl.evaluate._grid import NOISE_LEVELS, contenders, crowd_probes, poisons, probes
from privfl.evaluate._intervals import mean_interval
from privfl.evaluate._probe import SHOWN, Findings
from privfl.evaluate._run import Run
from privfl.evaluate._scenario import Scenario
from privfl.evaluate._schedule import Progress
from privfl.evaluate._store import Store
from privfl.evaluate._table import CrowdPoint, LabelBars, Pictures, SliderStop, StripRow, Table
from privfl.evaluate._tasks import ProbeTask, Task, TrainTask, findings
from privfl.pipeline import Pipeline

REPORTING = 8.0  # seconds kept for the table and the page


def demo(
    scenario: Scenario | None = None,
    *,
    seeds: int = 3,
    jobs: int = 2,
    store: Path | None = None,
    deadline: float | None = None,
    progress: Progress | None = None,
) -> Table:
    """Run the demo's grid until ``deadline`` (on ``time.monotonic``), and return its table."""
    start = time.monotonic()
    scenario = Scenario.digits() if scenario is None else scenario
    built = grid(scenario, seeds)
    results = built.run(
        jobs=jobs,
        store=Store(store),
        deadline=None if deadline is None else deadline - REPORTING,
        progress=progress,
    )
    table = built.table(results, facts_of(built, time.monotonic() - start, jobs))
    return _illustrated(table, built, results)


def grid(scenario: Scenario, seeds: int) -> Duel:
    """Return the demo's rows and columns, and the tasks of its pictures."""
    return Duel(
        scenario,
        contenders(scenario.n_byzantine),
        poisons(scenario.n_byzantine),
        probes(),
        seeds,
        illustrations=_crowd_tasks()[:2],
        extras=(*_crowd_tasks(), *_slider_tasks()),
    )


def _crowd_tasks() -> tuple[Task, ...]:
    return tuple(ProbeTask(Pipeline(), probe) for probe in crowd_probes())


def _slider_tasks() -> tuple[Task, ...]:
    tasks: list[Task] = []
    for noise in NOISE_LEVELS:
        shield = _noisy(noise)
        tasks += [ProbeTask(shield, _one_image()), TrainTask(shield, 0)]
    return tuple(tasks)


def _noisy(noise: float) -> Pipeline:
    return Pipeline(Clip(1.0), LocalGaussianNoise(noise)) if noise else Pipeline(Clip(1.0))


def _one_image() -> Probe:
    return probes()[0]


def _illustrated(table: Table, built: Duel, results: dict[Task, State]) -> Table:
    artist = _Artist(table, built, results)
    return replace(
        table,
        pictures=Pictures(
            truth=artist.truth(),
            strip=artist.strip(),
            crowd=artist.crowd(),
            labels=artist.labels(),
            slider=artist.slider(),
        ),
    )


class _Artist:
    """Take from the results what the report draws."""

    def __init__(self, table: Table, built: Duel, results: dict[Task, State]) -> None:
        self.table, self.built, self.results = table, built, results

    def found(self, pipeline: Pipeline, probe: Probe) -> Findings | None:
        task = ProbeTask(pipeline, probe)
        return findings(self.results[task]) if task in self.results else None

    def truth(self) -> Tensor | None:
        found = self.found(Pipeline(), _one_image())
        return None if found is None or found.truth is None else found.truth.flatten(0, -3)

    def strip(self) -> tuple[StripRow, ...]:
        rows = []
        for contender in self.built.contenders:
            found = self.found(contender.pipeline, _one_image())
            accuracy = next(row.accuracy for row in self.table.rows if row.name == contender.name)
            epsilon = epsilon_text(contender.pipeline, self.built)
            rows += _strip_row(contender.name, found, accuracy, epsilon)
        summed = next((p for p in self.built.probes if p.name == "sum of ten"), None)
        if summed is not None:
            found = self.found(Pipeline(), summed)
            accuracy = self.table.rows[0].accuracy
            rows += _strip_row("any sum of ten", found, accuracy, "infinite: no noise")
        return tuple(rows)

    def crowd(self) -> tuple[CrowdPoint, ...]:
        named = {probe.name: probe for probe in (*self.built.probes, *crowd_probes())}
        points = []
        for name in ("one image", "sum of ten", *(probe.name for probe in crowd_probes())):
            probe = named[name]
            found = self.found(Pipeline(), probe)
            if found is not None and found.hits is not None and found.nulls is not None:
                share = mean_interval(found.hits)
                points.append(
                    CrowdPoint(
                        probe.batch * probe.n_clients,
                        share.value,
                        float(found.nulls.mean()),
                        (share.lower, share.upper),
                    )
                )
        return tuple(points)

    def labels(self) -> tuple[LabelBars, ...]:
        probe = next((p for p in self.built.probes if p.name == "label histogram"), None)
        found = None if probe is None else self.found(Pipeline(), probe)
        if found is None or found.inferred is None or found.true is None:
            return ()
        mine, blind = label_distances(found)
        return tuple(
            LabelBars(
                f"client {k}",
                tuple(found.true[k].tolist()),
                tuple(found.inferred[k].tolist()),
                float(mine[k]),
                float(blind[k]),
            )
            for k in range(3)
        )

    def slider(self) -> tuple[SliderStop, ...]:
        stops = []
        for noise in NOISE_LEVELS:
            shield = _noisy(noise)
            found = self.found(shield, _one_image())
            if found is None or found.images is None or found.hits is None:
                continue
            run = self.results.get(TrainTask(shield, 0))
            stops.append(
                SliderStop(
                    noise,
                    found.images.flatten(0, -3),
                    int(found.hits[:SHOWN].sum()),
                    None if run is None else Run(**run).accuracy[-1],  # type: ignore[arg-type]
                    epsilon_text(shield, self.built),
                )
            )
        return tuple(stops)


def _strip_row(
    name: str, found: Findings | None, accuracy: tuple[float, ...], epsilon: str
) -> list[StripRow]:
    if found is None or found.images is None or found.hits is None:
        return []
    victims = found.hits[:SHOWN] if len(found.images) <= len(found.hits) else found.hits[:1] * SHOWN
    mean = sum(accuracy) / len(accuracy) if accuracy else None
    picked = round(float(victims.sum()))
    return [StripRow(name, found.images.flatten(0, -3), picked, mean, epsilon)]
