"""The figures of a statement."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from privfl.ledger._standing import Standing, by_question

if TYPE_CHECKING:
    from privfl.accounting import Interval

COLUMNS = (
    "unit",
    "neighbours",
    "dataset",
    "adversary",
    "releases",
    "epsilon by PLD",
    "epsilon by RDP",
    "audited lower bound",
)


def table(found: Sequence[Standing], delta: float) -> list[str]:
    """Write one row for each unit, relation and adversary."""
    rows = [_row(group) for group in by_question(found).values()]
    note = (
        f"Epsilon at delta {delta:g}: upper bounds. Where there are many datasets, their range. A "
        "multiplier is the noise's standard deviation over the most that one unit contributes."
    )
    return [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", *rows, "", note]


def _row(group: Sequence[Standing]) -> str:
    question = group[0].question
    cells = [
        question.unit.value,
        question.relation.value,
        names_of([standing.dataset for standing in group]),
        _adversary(group[0]),
        span([standing.releases for standing in group]),
        _range(group, "PLD"),
        _range(group, "RDP"),
        "not audited",
    ]
    return f"| {' | '.join(cells)} |"


def names_of(names: Sequence[str]) -> str:
    """Name a few datasets, or the first and the last of many."""
    shown = [escaped(name) for name in names]
    return ", ".join(shown) if len(shown) < 4 else f"{shown[0]} … {shown[-1]} ({len(shown)})"


def _adversary(standing: Standing) -> str:
    vantage = standing.question.vantage
    return str(vantage) if vantage.parties else "outsider: sees what is released"


def span(numbers: Sequence[int]) -> str:
    """Say one number, or the least and the greatest."""
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def _range(group: Sequence[Standing], method: str) -> str:
    """Say the least and the greatest bound of one accountant; a closed form is both of them's."""
    found = [_by(standing.bounds, method) for standing in group]
    texts = list(dict.fromkeys(_figure(bound) for bound in sorted(found, key=_upper)))
    return texts[0] if len(texts) == 1 else f"{texts[0]} to {texts[-1]}"


def _by(bounds: "Mapping[str, Interval]", method: str) -> "Interval | None":
    for name in (method, "non-private"):
        if name in bounds:
            return bounds[name]
    return None


def _upper(bound: "Interval | None") -> float:
    return float("inf") if bound is None else bound.upper


def _figure(bound: "Interval | None") -> str:
    if bound is None:
        return "-"
    return str(bound).removeprefix("at most ").partition(" (")[0]


def mechanisms(found: Sequence[Standing]) -> list[str]:
    """Say what was done how often, for each question."""
    lines: list[str] = []
    for group in by_question(found).values():
        question = group[0].question
        lines += [f"{question.unit.value} level, against {question.vantage}:", ""]
        lines += [*_done(group), ""]
    return lines[:-1]


def _done(group: Sequence[Standing]) -> list[str]:
    """Say each kind of event once, with the range of sampling rates that datasets differ in."""
    times: dict[str, int] = {}
    rates: dict[str, set[float]] = {}
    for standing in group:
        for event, n in standing.whole.events:
            words, rate = described(event)
            times[words] = max(times.get(words, 0), n)
            rates.setdefault(words, set()).update(() if rate is None else (rate,))
    return [f"- {words}{_rate(rates[words])}: {times[words]:,} times at most" for words in times]


def _rate(rates: set[float]) -> str:
    ends = dict.fromkeys(f"{end(rates):.3g}" for end in (min, max)) if rates else ()
    return f", at rate {' to '.join(ends)}" if ends else ""


def described(event: Any) -> tuple[str, float | None]:
    """Say an event in words, and its sampling rate apart.

    >>> from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    >>> described(PoissonSampledDpEvent(0.01, GaussianDpEvent(1.1)))
    ('Gaussian noise of multiplier 1.1, on Poisson samples', 0.01)
    """
    kind = type(event).__name__.removesuffix("DpEvent")
    if kind in ("Gaussian", "Laplace"):
        return f"{kind} noise of multiplier {event.noise_multiplier:g}", None
    if kind == "PoissonSampled":
        return f"{described(event.event)[0]}, on Poisson samples", event.sampling_probability
    if kind == "SampledWithoutReplacement":
        words = f"{described(event.event)[0]}, on samples without replacement"
        return words, event.sample_size / event.source_dataset_size
    if kind == "NonPrivate":
        return "released without a guarantee", None
    return f"`{event!r}`", None


def escaped(text: str) -> str:
    """Keep a name from breaking a table."""
    return text.replace("|", "\\|").replace("\n", " ")
