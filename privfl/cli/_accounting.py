"""`privfl epsilon` and `privfl noise-multiplier`: accounting without a pipeline."""

import json
from collections.abc import Mapping
from decimal import ROUND_CEILING, Context
from typing import TYPE_CHECKING, Annotated

import typer

from privfl.cli._app import AsJson, Delta, app, fail

if TYPE_CHECKING:
    from privfl.accounting import Interval

Rate = Annotated[float, typer.Option(help="Chance of each unit to be in a step's sample.")]
Steps = Annotated[int, typer.Option(help="How many steps.")]
Related = Annotated[str, typer.Option(help="zero-out, replace-one or add/remove.")]


@app.command()
def epsilon(
    noise_multiplier: Annotated[
        float, typer.Option(help="Standard deviation over the most one unit contributes.")
    ],
    delta: Delta,
    sampling_rate: Rate = 1.0,
    steps: Steps = 1,
    relation: Related = "zero-out",
    as_json: AsJson = False,
) -> None:
    """Bound epsilon of Gaussian noise, by each method that applies.

    Examples:
      privfl epsilon --noise-multiplier 1.1 --sampling-rate 0.00427 --steps 14062 --delta 1e-5

      privfl epsilon --noise-multiplier 4 --steps 50 --delta 1e-5 --relation replace-one --json
    """
    from privfl.accounting import bounds_of
    from privfl.core import require_count

    try:
        require_count("steps", steps, least=1)
        event = _step(noise_multiplier, sampling_rate)
        bounds = bounds_of(event, delta, relation, steps)
    except ValueError as error:
        fail(str(error), code=2)
    facts = _facts(delta, relation, sampling_rate, steps)
    if as_json:
        typer.echo(json.dumps({**facts, **_as_numbers(bounds)}, indent=1))
        return
    typer.echo(f"epsilon of {_counted(steps)} at delta {delta:g}, relation {facts['relation']}")
    for method, interval in sorted(bounds.items(), key=lambda item: item[1].upper):
        aside = ", sampling left out" if method == "closed form" and sampling_rate < 1 else ""
        typer.echo(f"  {method:<13}{str(interval).removesuffix(f' ({method})')}{aside}")
    typer.echo(facts["assumption"])


@app.command()
def noise_multiplier(
    epsilon: Annotated[float, typer.Option(help="What all steps may cost.")],
    delta: Delta,
    sampling_rate: Rate = 1.0,
    steps: Steps = 1,
    relation: Related = "zero-out",
    as_json: AsJson = False,
) -> None:
    """Find the least Gaussian noise that costs at most EPSILON.

    Examples:
      privfl noise-multiplier --epsilon 8 --delta 1e-5 --steps 100

      privfl noise-multiplier --epsilon 3 --delta 1e-5 --sampling-rate 0.01 --steps 5000
    """
    from privfl.accounting import epsilon_of
    from privfl.core import require_count

    try:
        require_count("steps", steps, least=1)
        found = _least_noise(epsilon, delta, sampling_rate, steps, relation)
    except ValueError as error:
        fail(str(error), code=2)
    shown = float(Context(prec=4, rounding=ROUND_CEILING).create_decimal(found))
    interval = epsilon_of(_step(shown, sampling_rate), delta, relation, steps)
    facts = _facts(delta, relation, sampling_rate, steps)
    if as_json:
        numbers = {"noise_multiplier": shown, "epsilon": interval.upper, "method": interval.method}
        typer.echo(json.dumps({**facts, **numbers}, indent=1))
        return
    typer.echo(f"noise multiplier {shown:g}")
    typer.echo(
        f"epsilon of {_counted(steps)} at delta {delta:g}, relation {facts['relation']}: {interval}"
    )
    typer.echo(facts["assumption"])


def _least_noise(epsilon: float, delta: float, rate: float, steps: int, relation: str) -> float:
    from privfl.accounting import calibrate, noise_multiplier_for
    from privfl.core import Relation

    if rate == 1:
        return noise_multiplier_for(epsilon, delta, steps) * Relation.of(relation).change(1.0)
    return calibrate(lambda z: _step(z, rate), epsilon, delta, relation, steps)


def _step(noise_multiplier: float, rate: float) -> object:
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent

    from privfl.core import require, require_positive

    require_positive("noise_multiplier", noise_multiplier)
    require(0 < rate <= 1, "sampling_rate must be above 0 and at most 1", rate)
    gaussian = GaussianDpEvent(noise_multiplier)
    return gaussian if rate == 1 else PoissonSampledDpEvent(rate, gaussian)


def _counted(steps: int) -> str:
    return f"{steps} step" if steps == 1 else f"{steps} steps"


def _facts(delta: float, relation: str, rate: float, steps: int) -> dict[str, object]:
    from privfl.core import Relation

    assumption = (
        "Every unit is in every step; this holds against whoever sees all of them."
        if rate == 1
        else f"Assumes Poisson sampling at rate {rate:g}, and an adversary who does not learn the "
        "sample: a server that runs secure aggregation does."
    )
    return {
        "delta": delta,
        "relation": Relation.of(relation).value,
        "sampling_rate": rate,
        "steps": steps,
        "assumption": assumption,
    }


def _as_numbers(bounds: "Mapping[str, Interval]") -> dict[str, object]:
    """Return the bounds for a machine; one that means nothing has no number."""
    best = min(bounds, key=lambda method: bounds[method].upper)
    said = {method: interval.figure for method, interval in bounds.items()}
    return {"epsilon": said[best], "method": best, "bounds": said, "says": str(bounds[best])}
