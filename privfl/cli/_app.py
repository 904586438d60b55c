"""The command line itself, to which each module of this package adds its commands."""

from typing import Annotated, NoReturn

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Harden federated learning, and see what attackers still get.\n\n"
    "Exit codes: 0 done, 1 a pipeline is refused or a ledger was changed, 2 bad input.\n\n"
    "Examples:\n\n"
    "  privfl duel --minutes 3\n\n"
    "  privfl explain 'Pipeline(Clip(1.0), LocalGaussianNoise(0.1))' --clients 10 --dim 28938\n\n"
    "  privfl epsilon --noise-multiplier 1.1 --sampling-rate 0.00427 --steps 14062 --delta 1e-5",
)

Delta = Annotated[float, typer.Option(help="At which epsilon is stated.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def fail(text: str, code: int) -> NoReturn:
    """Say what is wrong, and exit with ``code``."""
    typer.echo(text, err=True)
    raise typer.Exit(code) from None
