"""Whether a published result has its shape here: pairs of one seed, their interval, a margin."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from privfl.core import require
from privfl.evaluate._intervals import Estimate, paired_t

HEAD = f"{'claim: first / second':<52}{'first':>7} {'second':>7}  "
HEAD += f"{'apart [95 %]':<25}{'margin':<9}{'published':<15}verdict"

Figures = Mapping[str, float]  # what one seed gave, by name


@dataclass(frozen=True)
class Shape:
    """State a claim: how the figure ``first`` differs from ``second``, and by how much at least.

    With a ``ratio`` the pairs' logarithms are compared, and the margin is a ratio too.
    ``published`` is only printed; empty where the paper gives no figure.
    """

    claim: str
    first: str
    second: str
    margin: float
    above: bool = True
    ratio: bool = False
    published: str = ""

    def judged(self, runs: Sequence[Figures]) -> "Row":
        """Compare the two figures over the seeds."""
        both = [[run[self.first], run[self.second]] for run in runs]
        pairs = torch.tensor(both, dtype=torch.float64)
        a, b = pairs.T
        if not self.ratio:
            return Row(self, float(a.mean()), float(b.mean()), paired_t(a, b), len(runs))
        require(bool((pairs > 0).all()), "A ratio needs figures above 0", pairs.tolist())
        apart = paired_t(a.log(), b.log())
        ratio = Estimate(*map(math.exp, (apart.value, apart.lower, apart.upper)))
        return Row(self, float(a.mean()), float(b.mean()), ratio, len(runs))


@dataclass(frozen=True)
class Row:
    """Hold a claim, the two means over the seeds, and the paired difference or ratio."""

    shape: Shape
    first: float
    second: float
    apart: Estimate
    seeds: int

    @property
    def verdict(self) -> str:
        """Say whether the whole interval is beyond the margin, short of it, or neither."""
        beyond, short = self.apart.lower > self.shape.margin, self.apart.upper < self.shape.margin
        if not self.shape.above:
            beyond, short = short, beyond
        return "shown" if beyond else "not shown" if short else "unresolved"

    def __str__(self) -> str:
        """Write a line of the table, under `HEAD`."""
        shape, x = self.shape, "x" if self.shape.ratio else ""
        apart = f"{x}{self.apart.value:.3g} [{self.apart.lower:.3g}, {self.apart.upper:.3g}]"
        wanted = f"{'>' if shape.above else '<'} {x}{shape.margin:.3g}"
        figures = f"{self.first:7.4g} {self.second:7.4g}"
        words = f"{shape.claim:<52}{figures}  {apart:<25}{wanted:<9}"
        return f"{words}{shape.published:<15}{self.verdict}"


class Claim(Protocol):
    """Run one seed: -> its figures, of which ``shapes`` compares pairs."""

    @property
    def shapes(self) -> Sequence[Shape]:
        """What is claimed."""

    def __call__(self, seed: int) -> Figures:
        """Train every side on one seed's data, first weights, cohorts and machines."""


def rows(claim: Claim, seeds: int) -> list[Row]:
    """Run a claim over ``seeds`` seeds, counted from 0."""
    runs = [claim(seed) for seed in range(seeds)]
    return [shape.judged(runs) for shape in claim.shapes]
