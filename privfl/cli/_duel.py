"""`privfl duel`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from privfl.cli._app import app, fail

if TYPE_CHECKING:
    from privfl.evaluate import Scenario, Table


@app.command()
def duel(
    minutes: Annotated[
        float | None, typer.Option(help="Stop in time; the rest is left out.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Paired seeds of each training run.")] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, one torch thread each.")] = 2,
    out: Annotated[Path, typer.Option(help="Folder for report.html and the results.")] = Path(
        "duel-report"
    ),
    data: Annotated[
        Path | None, typer.Option(help="Folder with the full MNIST, IDX files.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget earlier results.")] = False,
    hero: Annotated[Path | None, typer.Option(help="Also write the strip as a PNG here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Train with and without each defence, attack it, and print a table of verdicts.

    Results are kept in OUT/cells and reused, so a second call goes on where the first one stopped.

    Examples:
      privfl duel --minutes 3                  the demo

      privfl duel --seeds 5 --jobs 4           the whole grid, however long it takes

      privfl duel --data ~/mnist --json        full MNIST, for a script
    """
    import time

    start = time.monotonic()
    table = _duel(minutes, seeds, jobs, out, data, fresh, start, quiet=as_json)
    report = table.save(out / "report.html")
    if hero is not None:
        from privfl.evaluate import strip_png

        hero.parent.mkdir(parents=True, exist_ok=True)
        hero.write_bytes(strip_png(table.pictures))
    if as_json:
        typer.echo(json.dumps(table.to_dict(), indent=1))
        return
    from rich.console import Console

    from privfl.evaluate import print_table

    print_table(table, Console())
    typer.echo(f"\n{report}  ({time.monotonic() - start:.0f} s)")


def _duel(
    minutes: float | None,
    seeds: int,
    jobs: int,
    out: Path,
    data: Path | None,
    fresh: bool,
    start: float,
    *,
    quiet: bool,
) -> "Table":
    from privfl.evaluate import demo

    scenario = _scenario(data)
    out.mkdir(parents=True, exist_ok=True)
    if fresh:
        for cell in (out / "cells").glob("*.cell"):
            cell.unlink()
    deadline = None if minutes is None else start + 60 * minutes
    with _Bar(quiet) as bar:
        return demo(
            scenario,
            seeds=seeds,
            jobs=jobs,
            store=out / "cells",
            deadline=deadline,
            progress=bar.show,
        )


def _scenario(data: Path | None) -> "Scenario":
    from privfl.data import mnist
    from privfl.evaluate import Scenario

    try:
        return Scenario.digits() if data is None else Scenario.digits(mnist(data))
    except (OSError, ValueError) as error:
        fail(str(error), code=2)


class _Bar:
    """A progress bar on a terminal, and nothing in a pipe."""

    def __init__(self, quiet: bool) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f}"))
        self.bar = Progress(
            *columns,
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            disable=quiet or not sys.stdout.isatty(),
            transient=True,
        )

    def __enter__(self) -> "_Bar":
        self.bar.__enter__()
        self.task = self.bar.add_task("starting", total=1)
        return self

    def __exit__(self, *why: object) -> None:
        self.bar.__exit__(*why)  # type: ignore[arg-type]

    def show(self, done: int, total: int, label: str) -> None:
        """Show how far it is."""
        self.bar.update(self.task, completed=done, total=total, description=label)
