"""The table of verdicts, and what the report draws besides."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from privfl.evaluate._verdict import Verdict

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Row:
    """Describe one pipeline of a duel.

    Attributes:
        name: short, such as ``Clip(1) + noise .1``.
        pipeline: what was written.
        accuracy: final, without attack, by seed.
        epsilon: text with its adversary, as the plan has it.
        note: what a reader must know, such as that attackers skip the client half.
    """

    name: str
    pipeline: str
    accuracy: tuple[float, ...] = ()
    epsilon: str = "infinite"
    note: str = ""


@dataclass(frozen=True)
class Column:
    """Describe one attack of a duel.

    Attributes:
        name: short, such as ``sign flip x5``.
        kind: ``poisoning`` (figure: accuracy lost against the twin) or ``privacy`` (figure: share
            of victims identified less its null).
        protocol: ``12 rounds``, ``one step`` or ``as trained``.
        about: one sentence.
    """

    name: str
    kind: Literal["poisoning", "privacy"]
    protocol: str
    about: str = ""


@dataclass(frozen=True)
class Cell:
    """Hold one verdict with everything it rests on.

    Attributes:
        row, column: names.
        verdict: see `Verdict`.
        figure: accuracy lost, or share identified less the null.
        interval: 95 % of the figure, or None where there is none.
        value: the attacked accuracy, or the share identified.
        baseline: the blind baseline (PSNR in dB for pictures, total variation for labels).
        null: share identified among images that were not in the update.
        twin: accuracy of the honest clients alone.
        psnr: median over victims, dB.
        strength: of the attack, such as ``scale 5`` or ``300 iterations``.
        n: seeds, victims or cohorts behind the figure.
        unit: what ``n`` counts.
        seconds: the attack took, all together.
        note: such as ``diverged in round 4`` or why it does not apply.
        curves: accuracy by round, one tuple a seed.
        twin_curves: the same of the twin.
        reused_from: the row whose equal view was attacked instead.
    """

    row: str
    column: str
    verdict: Verdict
    figure: float | None = None
    interval: tuple[float, float] | None = None
    value: float | None = None
    baseline: float | None = None
    null: float | None = None
    twin: float | None = None
    psnr: float | None = None
    strength: str = ""
    n: int = 0
    unit: str = "seeds"
    seconds: float = 0.0
    note: str = ""
    curves: tuple[tuple[float, ...], ...] = ()
    twin_curves: tuple[tuple[float, ...], ...] = ()
    reused_from: str = ""


@dataclass(frozen=True)
class StripRow:
    """Show what a server makes of one training step of ten clients.

    ``images`` is (10, height, width) in [0, 1]; ``picked`` of them were identified out of 100.
    """

    name: str
    images: Tensor = field(repr=False)
    picked: int
    accuracy: float | None
    epsilon: str


@dataclass(frozen=True)
class CrowdPoint:
    """Hold one point of the curve "how big must the crowd be?"."""

    n_images: int
    identified: float
    null: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class LabelBars:
    """Hold true and inferred label shares of one client, (classes,) each summing to 1."""

    title: str
    true: tuple[float, ...]
    inferred: tuple[float, ...]
    distance: float
    blind: float


@dataclass(frozen=True)
class SliderStop:
    """Show one noise level: the pictures, how many were picked out, accuracy and epsilon."""

    noise: float
    images: Tensor = field(repr=False)
    picked: int
    accuracy: float | None
    epsilon: str


@dataclass(frozen=True)
class Pictures:
    """Hold what the report draws besides the table; empty where time did not allow it."""

    truth: Tensor | None = field(default=None, repr=False)
    strip: tuple[StripRow, ...] = ()
    crowd: tuple[CrowdPoint, ...] = ()
    labels: tuple[LabelBars, ...] = ()
    slider: tuple[SliderStop, ...] = ()


@dataclass(frozen=True)
class Table:
    """Hold the verdicts of a duel, by row and column.

    Attributes:
        title: names the scenario.
        rows, columns: in the order in which they are shown.
        cells: by (row name, column name); a pair that was not run is missing.
        seeds: how many seeds ran for every poisoning cell, and ``wanted`` how many were asked for.
        pictures: for the report.
        facts: settings, versions and timings, as printed under the table.
    """

    title: str
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    cells: Mapping[tuple[str, str], Cell]
    seeds: int
    wanted: int
    pictures: Pictures = field(default_factory=Pictures, repr=False)
    facts: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, place: tuple[str, str]) -> Cell:
        """Return the cell of a (row, column)."""
        return self.cells[place]

    def to_pandas(self) -> "pandas.DataFrame":
        """Return one line a cell (needs pandas)."""
        import pandas

        return pandas.DataFrame([_plain(cell) for cell in self.cells.values()])

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON, without pictures."""
        return {
            "title": self.title,
            "seeds": self.seeds,
            "wanted": self.wanted,
            "rows": [asdict(row) for row in self.rows],
            "columns": [asdict(column) for column in self.columns],
            "cells": [_plain(cell) for cell in self.cells.values()],
            "facts": dict(self.facts),
        }

    def save(self, path: str | Path) -> Path:
        """Write the report (.html), the cells (.json, .csv) or the verdicts (.md)."""
        path = Path(path)
        if path.suffix == ".html":
            from privfl.evaluate._report import report_html

            path.write_text(report_html(self), encoding="utf-8")
        elif path.suffix == ".json":
            path.write_text(json.dumps(self.to_dict(), indent=1), encoding="utf-8")
        elif path.suffix == ".csv":
            self.to_pandas().to_csv(path, index=False)
        elif path.suffix == ".md":
            path.write_text(self.to_markdown(), encoding="utf-8")
        else:
            wanted = "A table is saved as .html, .json, .csv or .md"
            raise ValueError(f"{wanted}. Found {path.name!r}.")
        return path

    def to_markdown(self) -> str:
        """Return the verdicts as Markdown, a table a kind: verdict and figure by pipeline."""
        kinds = {
            "poisoning": "**Poisoning**: verdict, and accuracy lost against honest clients alone",
            "privacy": "**Privacy**: verdict, and share of victims identified less its null",
        }
        tables = [
            f"{title}\n\n{self._markdown(names)}"
            for kind, title in kinds.items()
            if (names := [c.name for c in self.columns if c.kind == kind and c.name != "none"])
        ]
        return "\n".join(tables)

    def _markdown(self, names: list[str]) -> str:
        heads = ["pipeline", "accuracy", *names]
        lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        for row in self.rows:
            mean = sum(row.accuracy) / len(row.accuracy) if row.accuracy else math.nan
            cells = [self._in_short(row.name, name) for name in names]
            lines.append("| " + " | ".join([row.name, f"{mean:.2f}", *cells]) + " |")
        return "\n".join(lines) + "\n"

    def _in_short(self, row: str, column: str) -> str:
        cell = self.cells.get((row, column))
        if cell is None:
            return "\u2013"
        figure = "" if cell.figure is None else f" {cell.figure:.2f}"
        return f"{cell.verdict.value.replace('_', ' ').lower()}{figure}"


def _plain(cell: Cell) -> dict[str, object]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(cell).items()
    } | {"verdict": cell.verdict.value}
