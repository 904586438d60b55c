"""From results of tasks to cells with verdicts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from privfl.core import State
from privfl.evaluate._contender import Contender, Poison, Probe
from privfl.evaluate._intervals import Estimate, difference, mean_interval, paired_t
from privfl.evaluate._probe import Findings
from privfl.evaluate._run import Run
from privfl.evaluate._scenario import Scenario
from privfl.evaluate._table import Cell, Row
from privfl.evaluate._tasks import Task, findings
from privfl.evaluate._verdict import (
    Control,
    Verdict,
    poisoning_verdict,
    reconstruction_verdict,
)
from privfl.parts import Trainer
from privfl.pipeline import Pipeline

if TYPE_CHECKING:
    from privfl.evaluate._duel import Duel


DELTA = 1e-5  # at which the table states epsilon


class Harvest:
    """Read a duel's results."""

    def __init__(self, duel: "Duel", results: Mapping[Task, State]) -> None:
        self.duel, self.results = duel, results

    def row(self, contender: Contender) -> Row:
        """Describe a row by its runs without an attack."""
        runs = self.runs(contender)
        return Row(
            contender.name,
            repr(contender.pipeline),
            tuple(run.accuracy[-1] for run in runs),
            epsilon_text(contender.pipeline, self.duel),
            contender.note,
        )

    def runs(
        self, contender: Contender, poison: Poison | None = None, *, honest_only: bool = False
    ) -> list[Run]:
        """Return the runs of a row, seed by seed, up to the first that is missing."""
        runs = []
        for seed in range(self.duel.seeds):
            task = self.duel.training(contender, seed, poison, honest_only=honest_only)
            if task not in self.results:
                break
            runs.append(Run(**self.results[task]))  # type: ignore[arg-type]
        return runs

    def seeds_run(self) -> int:
        """Count the seeds under which every declared training ran."""
        counts = [
            len(self.runs(contender, poison))
            for contender in self.duel.contenders
            for poison in self.duel.poisons
            if contender.meets(poison.name) and not poison.is_idle(self.duel.scenario)
        ]
        return min(counts or [len(self.runs(c)) for c in self.duel.contenders])

    def cells(self) -> dict[tuple[str, str], Cell]:
        """Return every cell that was run, by row and column."""
        cells = [self.unattacked(contender) for contender in self.duel.contenders]
        for poison in self.duel.poisons:
            cells += self.poisoned(poison)
        for probe in self.duel.probes:
            cells += self.probed(probe)
        return {(cell.row, cell.column): cell for cell in cells if cell is not None}

    def unattacked(self, contender: Contender) -> Cell | None:
        """Return the cell of the runs without an attack, which holds no verdict."""
        runs = self.runs(contender)
        if not runs:
            return None
        return Cell(
            contender.name,
            "none",
            Verdict.NOT_APPLICABLE,
            value=_mean([run.accuracy[-1] for run in runs]),
            n=len(runs),
            seconds=sum(run.seconds for run in runs),
            note=_diverged(runs),
            curves=tuple(run.accuracy for run in runs),
            twin_curves=tuple(run.accuracy for run in self.runs(contender, honest_only=True)),
        )

    def poisoned(self, poison: Poison) -> list[Cell | None]:
        """Return one attack's column: HELD needs that the attack HARMED some row."""
        rows = [row for row in self.duel.contenders if row.meets(poison.name)]
        first = [self._poisoned(row, poison, harmed_another=False) for row in rows]
        harmed = any(cell is not None and cell.verdict is Verdict.HARMED for cell in first)
        return [self._poisoned(row, poison, harmed_another=harmed) for row in rows]

    def _poisoned(self, row: Contender, poison: Poison, *, harmed_another: bool) -> Cell | None:
        pairs = list(zip(self.runs(row, poison), self.runs(row, honest_only=True), strict=False))
        if not pairs:
            return None
        attacked = torch.tensor([run.accuracy[-1] for run, _ in pairs], dtype=torch.float64)
        twin = torch.tensor([run.accuracy[-1] for _, run in pairs], dtype=torch.float64)
        idle = all(run.idle for run, _ in pairs)
        loss = paired_t(twin, attacked)
        notes = [_diverged([run for run, _ in pairs])]
        notes += ["it sent the honest mean itself: no attack"] if idle else []
        notes += ["the attackers skip the client half"] if row.skip_client_half else []
        return Cell(
            row.name,
            poison.name,
            poisoning_verdict(twin, attacked, harmed_another=harmed_another, silent=idle),
            figure=loss.value,
            interval=_interval(loss),
            value=float(attacked.mean()),
            twin=float(twin.mean()),
            strength=poison.attack.strength(self.duel.scenario.n_clients),
            n=len(pairs),
            seconds=sum(run.seconds for run, _ in pairs),
            note="; ".join(note for note in notes if note),
            curves=tuple(run.accuracy for run, _ in pairs),
            twin_curves=tuple(run.accuracy for _, run in pairs),
        )

    def found(self, contender: Contender, probe: Probe) -> Findings | None:
        """Return what an attack found in a row's view."""
        task = self.duel.probe_task(contender, probe)
        return findings(self.results[task]) if task in self.results else None

    def probed(self, probe: Probe) -> list[Cell | None]:
        """Return one attack's column, with the undefended twin as its positive control."""
        twin = self.results.get(self.duel.control(probe))
        control = None if twin is None else _control(findings(twin))
        rows = [row for row in self.duel.contenders if row.meets(probe.name)]
        return [self._probed(row, probe, control) for row in rows]

    def _probed(self, row: Contender, probe: Probe, control: Control | None) -> Cell | None:
        found = self.found(row, probe)
        if found is None:
            return None
        reused = row.same_view_as if self._same_view(row, probe) else ""
        if found.not_applicable:
            note = found.not_applicable
            return Cell(row.name, probe.name, Verdict.NOT_APPLICABLE, note=note, reused_from=reused)
        gain = gain_of(found)
        return Cell(
            row.name,
            probe.name,
            reconstruction_verdict(
                gain, budget=found.budget, control=control, certified=found.certified
            ),
            figure=gain.value,
            interval=_interval(gain),
            strength=found.strength,
            unit=probe.unit if found.hits is not None else "clients",
            seconds=found.seconds,
            reused_from=reused,
            note=_who_looks(row.pipeline),
            **_figures(found),  # type: ignore[arg-type]
        )

    def _same_view(self, row: Contender, probe: Probe) -> bool:
        """Whether the view that was attacked equals, to the byte, that of ``same_view_as``."""
        other = next((c for c in self.duel.contenders if c.name == row.same_view_as), None)
        if other is None:
            return False
        mine, others = self.found(row, probe), self.found(other, probe)
        return mine is not None and others is not None and mine.view == others.view


def gain_of(found: Findings) -> Estimate:
    """Return identification less its null; of label counts, blind distance less the attack's."""
    if found.hits is not None and found.nulls is not None:
        return difference(mean_interval(found.hits), mean_interval(found.nulls))
    return paired_t(*label_distances(found)[::-1])


def label_distances(found: Findings) -> tuple[Tensor, Tensor]:
    """Return total variation to the true label shares, of the attack and of a blind guess."""
    if found.inferred is None or found.true is None:
        raise ValueError("These findings count no labels.")
    blind = torch.full_like(found.true, 1 / found.true.shape[1])
    return total_variation(found.inferred, found.true), total_variation(blind, found.true)


def total_variation(first: Tensor, second: Tensor) -> Tensor:
    """Return half the summed difference of shares: (rows, classes) twice -> (rows,)."""
    return (first - second).abs().sum(dim=1) / 2


def epsilon_text(pipeline: Pipeline, duel: "Duel") -> str:
    """State the plan's epsilon over the whole training, with its adversary."""
    scenario = duel.scenario
    dim = sum(p.numel() for p in scenario.fresh_model(0).parameters())
    explanation = pipeline.explain(
        n_clients=scenario.n_clients, dim=dim, rounds=scenario.rounds, delta=DELTA
    )
    claims = [str(guarantee) for guarantee in explanation.guarantees]
    if pipeline.trainer is not None:
        claims += trained_epsilons(pipeline.trainer, scenario)
    return "; ".join(claims) or "infinite: no noise"


def trained_epsilons(trainer: Trainer, scenario: Scenario) -> list[str]:
    """State what private training costs: a range, since clients hold more or fewer records."""
    from privfl.accounting import epsilon_of

    sizes = [len(y) for _, y in scenario.clients(0).values()]
    each = [charge for size in sizes for charge in trainer.charges(size)]
    if not each:
        return []
    found = sorted(
        epsilon_of(c.event, DELTA, c.relation, c.count * scenario.rounds).upper for c in each
    )
    kinds = f"{each[0].unit} level, {each[0].relation}, against {each[0].vantage}"
    return [f"{kinds}: epsilon {found[0]:.2g} to {found[-1]:.2g} by client"]


def _control(found: Findings) -> Control | None:
    if found.not_applicable:
        return None
    return Control(gain_of(found), found.budget)


def _figures(found: Findings) -> dict[str, object]:
    if found.hits is None or found.nulls is None:
        mine, blind = label_distances(found)
        return {"value": float(mine.mean()), "baseline": float(blind.mean()), "n": len(mine)}
    figures: dict[str, object] = {
        "value": float(found.hits.mean()),
        "null": float(found.nulls.mean()),
        "n": len(found.hits),
    }
    if found.psnr is not None and found.baseline_psnr is not None:
        figures["psnr"] = float(found.psnr.median())
        figures["baseline"] = float(found.baseline_psnr.median())
    return figures


def _interval(estimate: Estimate) -> tuple[float, float]:
    return estimate.lower, estimate.upper


def _who_looks(pipeline: Pipeline) -> str:
    """Say so where not the server is attacked from."""
    if pipeline.contract.opener == "server":
        return ""
    return "as a client that opens the sum sees it: the server holds ciphertexts"


def _diverged(runs: list[Run]) -> str:
    rounds = [str(run.diverged) for run in runs if run.diverged is not None]
    return f"diverged in round {', '.join(rounds)}" if rounds else ""


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
