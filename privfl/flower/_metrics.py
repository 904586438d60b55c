"""Metrics as scalars: what a client puts into the tail, and what the server reads off the mean.

Flower weighs metrics as it weighs updates. Under `Weigh` a client therefore sends each metric times
its share, its count over the largest, and the server divides by the mean share.
"""

from collections.abc import Mapping

from flwr.app import MetricRecord, RecordDict

from privfl.flower._refusal import Reason, Refusal
from privfl.parts import Weigh
from privfl.parts._weigh import COUNT
from privfl.rounds import Line, Release, Setting


def metrics_in(content: RecordDict) -> MetricRecord:
    """Return the app's metrics, empty where it gave none."""
    records = list(content.metric_records.values())
    if len(records) > 1:
        raise Refusal(Reason.FAILED, "The app answered with more than one MetricRecord")
    return records[0] if records else MetricRecord()


def scalars_of(metrics: MetricRecord, weighted_by: str, setting: Setting) -> dict[str, float]:
    """Return what the pipeline and the guard declared; all other metrics stay with the client."""
    measured = {scalar.name for scalar in setting.line.measured}
    declared = [
        scalar.name for scalar in setting.contracts[0].scalars if scalar.name not in measured
    ]
    values = {name: _number(metrics, weighted_by if name == COUNT else name) for name in declared}
    share = _share(values, setting.line)
    own = {scalar.name for scalar in setting.line.scalars}
    return {name: x if name in own else x * share for name, x in values.items()}


def metrics_of(release: Release, line: Line, names: tuple[str, ...]) -> dict[str, float]:
    """Return the mean of each named metric, weighed as the updates are."""
    weigh = _weigh(line)
    means = {name: release.scalars[name] for name in names}
    if weigh is None:
        return means
    count = release.scalars[COUNT]
    if weigh.total is not None and line.contract.claims_privacy:
        count = weigh.total / release.n_clients  # public: a noised one would be a ratio of two
    share = count / weigh.max_examples
    return {name: mean / share if share else 0.0 for name, mean in means.items()}


def _number(metrics: MetricRecord, name: str) -> float:
    if name not in metrics:
        raise Refusal(Reason.FAILED, f"The app's metrics lack {name!r}")
    value = metrics[name]
    if not isinstance(value, int | float):
        raise Refusal(Reason.FAILED, f"A metric that travels is a number, {name!r} is a list")
    return float(value)


def _share(values: Mapping[str, float], line: Line) -> float:
    weigh = _weigh(line)
    if weigh is None:
        return 1.0
    return min(values[COUNT], weigh.max_examples) / weigh.max_examples


def _weigh(line: Line) -> Weigh | None:
    author = line.contract.author("weighting")
    return author if isinstance(author, Weigh) else None
