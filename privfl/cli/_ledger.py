"""`privfl ledger show`, `verify`, `export`, `budget` and `statement`."""

import json
import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from privfl.cli._app import AsJson, Delta, app, fail

if TYPE_CHECKING:
    from privfl.accounting import Interval
    from privfl.ledger import Ledger
    from privfl.ledger._standing import Standing

ledger_app = typer.Typer(
    no_args_is_help=True, help="Read a ledger of releases: what was spent on whom, against whom."
)
app.add_typer(ledger_app, name="ledger")

File = Annotated[Path, typer.Argument(help="The ledger's file.")]


@ledger_app.command()
def show(file: File, delta: Delta = 1e-5, as_json: AsJson = False) -> None:
    """Show what was spent: a row for each unit, dataset and adversary.

    Examples:
      privfl ledger show run.db --delta 1e-6
    """
    with _plainly():
        found = _standings(_opened(file), delta)
    if as_json:
        typer.echo(json.dumps([_numbers(standing) for standing in found], indent=1))
        return
    rows = [(*_place(s), f"{s.releases:,}", _said(s.interval)) for s in found]
    at_most = f"epsilon at most, delta {delta:g}"
    head = ("unit", "dataset", "against", "neighbours", "releases", at_most)
    _print(head, rows)


@ledger_app.command()
def verify(
    file: File,
    anchor: Annotated[
        str | None, typer.Option(help="A head that was kept elsewhere: it must be in the chain.")
    ] = None,
) -> None:
    """Check every link of the chain, and print its head. Exit code 1: something was changed.

    Without an anchor nothing tells a ledger from an earlier copy of it.

    Examples:
      privfl ledger verify run.db --anchor $(cat head.txt)
    """
    with _plainly():
        ledger = _opened(file)
        head = ledger.verify(anchor)
    typer.echo(f"{len(ledger.entries)} entries, none changed. Head, to be kept elsewhere:\n{head}")


@ledger_app.command()
def export(
    file: File,
    delta: Delta = 1e-5,
    entries: Annotated[
        bool,
        typer.Option("--entries", help="Every entry as a line: this tells who took part when."),
    ] = False,
) -> None:
    """Print a ledger as JSON: totals, or every entry.

    Examples:
      privfl ledger export run.db > totals.json

      privfl ledger export run.db --entries > entries.jsonl
    """
    with _plainly():
        ledger = _opened(file)
        if entries:
            for entry in ledger.entries:
                typer.echo(json.dumps({**entry.fields, "hash": entry.hash}))
            return
        found = _standings(ledger, delta)
    totals = {"head": ledger.head, "delta": delta, "totals": _totals(found)}
    typer.echo(json.dumps(totals, indent=1))


@ledger_app.command()
def budget(
    file: File,
    epsilon: Annotated[float, typer.Option(help="What may be spent in all.")],
    delta: Delta,
    as_json: AsJson = False,
) -> None:
    """Say how much of a budget is left, and how many more releases like the last one fit.

    Examples:
      privfl ledger budget run.db --epsilon 8 --delta 1e-5
    """
    from privfl.core import require_positive
    from privfl.ledger._remaining import remaining

    with _plainly():
        require_positive("epsilon", epsilon)
        ledger = _opened(file)
        found, book = _standings(ledger, delta), ledger.book()
        more = [remaining(book, s.dataset, s.question, epsilon, delta) for s in found]
    pairs = list(zip(found, more, strict=True))
    if as_json:
        rows = [{**_numbers(s), "budget": epsilon, "releases_left": n} for s, n in pairs]
        typer.echo(json.dumps(rows, indent=1))
        return
    cells = [
        (*_place(s), _said(s.interval), _left(s.interval, epsilon), f"{n:,}") for s, n in pairs
    ]
    left = f"left of {epsilon:g}"
    head = ("unit", "dataset", "against", "neighbours", "spent at most", left, "more like the last")
    _print(head, cells)


@ledger_app.command()
def statement(
    files: Annotated[list[Path], typer.Argument(help="One ledger or more.")],
    delta: Delta,
    model: Annotated[
        Path | None, typer.Option(help="Weights written by torch.save: is it this model?")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the page here.")] = None,
) -> None:
    """Write one page that an auditor can keep, in Markdown.

    Examples:
      privfl ledger statement run.db --delta 1e-5 --model final.pt --out statement.md
    """
    from privfl.ledger._statement import statement as write

    with _plainly():
        hashed = None if model is None else _weights_hash(model)
        page = write([_opened(file) for file in files], delta, model=hashed)
        if out is not None:
            out.write_text(page + "\n")
    if out is None:
        typer.echo(page)


@contextmanager
def _plainly() -> Iterator[None]:
    """Turn what goes wrong into one line and an exit code."""
    from privfl.ledger import LedgerTampered, LedgerUnavailable

    try:
        yield
    except LedgerTampered as error:
        fail(str(error), code=1)
    except (ValueError, OSError, LedgerUnavailable) as error:
        fail(str(error), code=2)


def _opened(file: Path) -> "Ledger":
    from privfl.ledger import Ledger

    if not file.is_file():  # opening would make one
        fail(f"{file} is not there, or is no file.", code=2)
    return Ledger(file)


def _standings(ledger: "Ledger", delta: float) -> "list[Standing]":
    from privfl.ledger._standing import standings

    return list(standings(ledger.book(), delta))


def _weights_hash(file: Path) -> bytes:
    import torch

    from privfl.core import require, weights_hash

    try:
        weights = torch.load(file, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        fail(f"{file} must hold a state_dict that torch.save wrote.", code=2)
    require(isinstance(weights, dict), f"{file} must hold a state_dict", type(weights).__name__)
    return weights_hash(weights)


def _place(standing: "Standing") -> tuple[str, str, str, str]:
    question = standing.question
    return (
        question.unit.value,
        standing.dataset,
        str(question.vantage),
        question.relation.value,
    )


def _numbers(standing: "Standing") -> dict[str, object]:
    """Return a row for a machine; epsilon is null where it is infinite or means nothing."""
    unit, dataset, against, relation = _place(standing)
    return {
        "unit": unit,
        "dataset": dataset,
        "against": against,
        "relation": relation,
        "releases": standing.releases,
        "declared": standing.declared,
        "epsilon": {name: bound.figure for name, bound in standing.bounds.items()},
        "says": str(standing.interval),
    }


def _totals(found: "Sequence[Standing]") -> list[dict[str, object]]:
    """Return a row for each question, with the range over its datasets and no dataset by name."""
    from privfl.ledger._standing import by_question

    return [
        {
            "unit": group[0].question.unit.value,
            "against": str(group[0].question.vantage),
            "relation": group[0].question.relation.value,
            "datasets": len(group),
            "epsilon": [end((s.interval for s in group), key=_upper).figure for end in (min, max)],
        }
        for group in by_question(found).values()
    ]


def _upper(interval: "Interval") -> float:
    return interval.upper


def _said(interval: "Interval") -> str:
    return str(interval).removeprefix("at most ")


def _left(interval: "Interval", epsilon: float) -> str:
    return f"{max(epsilon - interval.upper, 0.0):.3g}"


def _print(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    if not rows:
        typer.echo("Nothing was charged.")
        return
    table = Table(*head, box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else 200  # in a pipe nothing is to be wrapped
    Console(width=width).print(table)
