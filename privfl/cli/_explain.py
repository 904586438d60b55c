"""`privfl explain`."""

import json
from typing import Annotated

import typer

from privfl.cli._app import AsJson, Delta, app, fail


@app.command()
def explain(
    pipeline: Annotated[str, typer.Argument(help="What you would write in Python.")],
    clients: Annotated[int, typer.Option(min=1, help="Clients in a round.")] = 10,
    dim: Annotated[int, typer.Option(min=1, help="Coordinates of an update.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of training.")] = 1,
    delta: Delta = 1e-5,
    sampling_rate: Annotated[
        float, typer.Option(help="Chance of each client to be in a round's cohort.")
    ] = 1.0,
    records: Annotated[
        int | None, typer.Option(min=1, help="Records a client holds, for training that hides one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a pipeline runs, who sees what, its bounds, bytes, epsilon, and whether it trains.

    Examples:
      privfl explain 'Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.1))' --clients 100

      privfl explain 'Pipeline(DPSGD(noise_multiplier=1.0, steps=6))' --rounds 12 --records 500

      privfl explain 'Pipeline(Grouped(Plain(), size=5), Krum(n_byzantine=1))' --clients 30 --json
    """
    from privfl.core import CompositionError
    from privfl.reading import read_pipeline
    from privfl.sampling import Poisson

    try:
        shield = read_pipeline(pipeline)
        explanation = shield.explain(
            n_clients=clients,
            dim=dim,
            rounds=rounds,
            delta=delta,
            sampling=Poisson(rate=sampling_rate),
            n_records=records,
        )
    except CompositionError as error:
        if as_json:
            refusal = {"refused": error.rule, "reason": error.reason, "fix": error.fix}
            typer.echo(json.dumps(refusal))
            raise typer.Exit(1) from None
        fail(str(error), code=1)
    except ValueError as error:
        fail(str(error), code=2)
    typer.echo(json.dumps(explanation.to_dict(), indent=1) if as_json else str(explanation))
