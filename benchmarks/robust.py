"""Robust rules beside byzfl's, as ratios of times taken in one run.

    pip install -c constraints.txt -e ".[bench]"
    python benchmarks/robust.py [--json]

A ratio below 1 means that privfl is faster. byzfl takes NumPy arrays as well as tensors, at very
different speeds: the ratio is to its faster one. Each time is the best of several, taken in turn,
on one thread. NNM stands before a trimmed mean in both.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import _torchvision_shim  # noqa: F401  byzfl imports torchvision
import byzfl
import torch
from torch import Tensor

from privfl.defenses.robust import NNM, Krum, TrimmedMean

REPEATS = 7


@dataclass(frozen=True)
class Timing:
    """Hold the milliseconds that a rule took on (n, d) float32 updates."""

    rule: str
    n: int
    d: int
    n_byzantine: int
    privfl: float
    byzfl_torch: float
    byzfl_numpy: float

    @property
    def ratio(self) -> float:
        """privfl's time over byzfl's better one."""
        return self.privfl / min(self.byzfl_torch, self.byzfl_numpy)


def timing(name: str, n: int, d: int, f: int) -> Timing:
    """Time one rule in the three ways, in turn."""
    ours, theirs = rules(f)[name]
    updates = torch.randn(n, d, generator=torch.Generator().manual_seed(0))
    array = updates.numpy()
    ways = [lambda: ours(updates), lambda: theirs(updates), lambda: theirs(array)]
    return Timing(name, n, d, f, *best_of_each(ways))


def rules(f: int) -> dict[str, tuple[Callable[[Tensor], Tensor], Callable[..., object]]]:
    """Return each rule in privfl and in byzfl."""
    mix, trim = byzfl.NNM(f=f), byzfl.TrMean(f=f)
    return {
        "TrimmedMean": (TrimmedMean(n_byzantine=f), trim),
        "Krum": (Krum(n_byzantine=f), byzfl.Krum(f=f)),
        "NNM": (NNM(TrimmedMean(n_byzantine=f)), lambda updates: trim(mix(updates))),
    }


def best_of_each(ways: list[Callable[[], object]]) -> list[float]:
    """Return the least milliseconds of each way; a busy machine slows all of them alike."""
    best = [float("inf")] * len(ways)
    for _ in range(REPEATS):
        for k, way in enumerate(ways):
            start = time.perf_counter()
            way()
            best[k] = min(best[k], 1e3 * (time.perf_counter() - start))
    return best


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description="Robust rules beside byzfl's.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    as_json = parser.parse_args().json
    torch.set_num_threads(1)
    sizes = [
        ("TrimmedMean", 64, 65_536, 8),
        ("Krum", 80, 65_536, 8),
        ("NNM", 80, 65_536, 8),
        ("NNM", 196, 4_096, 20),
    ]
    timings = [timing(*size) for size in sizes]
    if as_json:
        print(json.dumps([{**asdict(t), "ratio": t.ratio} for t in timings], indent=2))
        return
    print(f"{'rule':<12}{'n x d':>12}{'f':>4}{'privfl':>9}{'torch':>9}{'numpy':>9}{'ratio':>8}")
    for t in timings:
        times = f"{t.privfl:>9.1f}{t.byzfl_torch:>9.1f}{t.byzfl_numpy:>9.1f}"
        print(f"{t.rule:<12}{f'{t.n} x {t.d}':>12}{t.n_byzantine:>4}{times}{t.ratio:>8.2f}")


if __name__ == "__main__":
    main()
