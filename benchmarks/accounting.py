"""Epsilon after each round and of a long training, beside dp-accounting called directly.

    python benchmarks/accounting.py [--json]

One Poisson-sampled Gaussian a round (rate .01, noise multiplier 1), then three kinds of release a
round: the milliseconds from one more round to a new epsilon, the median over 200 rounds. The other
column composes the loss distributions of dp-accounting, of which each release's is built once and
kept. Then the 14,062 steps of the MNIST tutorial, nothing kept: the best of three,
and how far the two epsilons are apart at most.

On a busy two-core machine (load 2.6), in milliseconds, dp-accounting 0.6.0 in the second column:

    one more round                4.4           91.6
    ... of three releases         6.8          240.9
    14,062 steps                 46.4          284.4

The epsilons are apart by less than 1e-7 after a round and by 2e-6 after 14,062 steps, of which
privfl's is the larger: it takes what rounding may hide off delta.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from dp_accounting import (
    ComposedDpEvent,
    GaussianDpEvent,
    PoissonSampledDpEvent,
    SelfComposedDpEvent,
)
from dp_accounting.pld import privacy_loss_distribution as pld

from privfl.accounting import _pld, _rdp, epsilon_of

ROUNDS, REPEATS, DELTA = 200, 3, 1e-5
Kind = tuple[float, float]  # sampling rate and noise multiplier

ONE: list[Kind] = [(0.01, 1.0)]
THREE: list[Kind] = [(0.01, 1.0), (0.02, 1.5), (0.01, 1.1)]
MNIST: Kind = (256 / 60000, 1.1)


@dataclass(frozen=True)
class Timing:
    """Hold the milliseconds of one question, here and there, and the difference of the answers."""

    question: str
    privfl: float
    dp_accounting: float
    apart: float


def rounds(name: str, kinds: list[Kind]) -> Timing:
    """Time a new epsilon after each of many rounds, each of which releases all of ``kinds``."""
    steps = [PoissonSampledDpEvent(rate, GaussianDpEvent(z)) for rate, z in kinds]
    built = [pld.from_gaussian_mechanism(z, sampling_prob=rate) for rate, z in kinds]

    def ours(n: int) -> float:
        return epsilon_of(ComposedDpEvent([SelfComposedDpEvent(s, n) for s in steps]), DELTA).upper

    def theirs(n: int) -> float:
        composed = built[0].self_compose(n)
        for one in built[1:]:
            composed = composed.compose(one.self_compose(n))
        return float(composed.get_epsilon_for_delta(DELTA))

    ours(1)  # builds what is kept
    return timing(name, [(lambda n=n: ours(n), lambda n=n: theirs(n)) for n in range(1, ROUNDS)])


def long_training() -> Timing:
    """Time 14,062 steps from nothing."""
    rate, z = MNIST
    event = PoissonSampledDpEvent(rate, GaussianDpEvent(z))

    def ours() -> float:
        _pld._one_round.kept.clear()
        _pld._composed.kept.clear()
        _rdp._divergences.cache_clear()
        return epsilon_of(event, DELTA, count=14062).upper

    def theirs() -> float:
        one = pld.from_gaussian_mechanism(z, sampling_prob=rate)
        return float(one.self_compose(14062).get_epsilon_for_delta(DELTA))

    return timing("14,062 steps", [(ours, theirs)] * REPEATS, least=True)


def timing(
    name: str,
    questions: list[tuple[Callable[[], float], Callable[[], float]]],
    *,
    least: bool = False,
) -> Timing:
    """Ask each question both ways, in turn; keep the median of times, or the least."""
    times: tuple[list[float], list[float]] = ([], [])
    apart = 0.0
    for ways in questions:
        answers = []
        for way, spent in zip(ways, times, strict=True):
            start = time.perf_counter()
            answers.append(way())
            spent.append(1e3 * (time.perf_counter() - start))
        apart = max(apart, abs(answers[0] - answers[1]))
    ours, theirs = (min(t) if least else statistics.median(t) for t in times)
    return Timing(name, ours, theirs, apart)


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description="Accounting beside dp-accounting.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    as_json = parser.parse_args().json
    timings = [
        rounds("one more round", ONE),
        rounds("... of three releases", THREE),
        long_training(),
    ]
    if as_json:
        print(json.dumps([asdict(t) for t in timings], indent=2))
        return
    print(f"{'ms':<24}{'privfl':>9}{'dp-accounting':>15}{'apart':>10}")
    for t in timings:
        print(f"{t.question:<24}{t.privfl:>9.1f}{t.dp_accounting:>15.1f}{t.apart:>10.1e}")


if __name__ == "__main__":
    main()
