"""Numbers: what both sides derive from public facts when n and d are known."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from privfl.core._charge import Charge
from privfl.core._cohort import Cohort
from privfl.core._relation import Relation
from privfl.core._scalar import Scalar


@dataclass(frozen=True)
class Plan:
    """State the numbers that hold where a part stands. Folded through the parts by `Part.plan`.

    Attributes:
        n_clients: members of the cohort.
        heads: the public number of members that sums over clients are divided by (rule R3).
        n_rows: rows the aggregator gets: one a client, a group, or the sum.
        min_survivors: the fewest members in the smallest sum that anybody sees.
        body: coordinates of the update proper.
        statistics: coordinates of running statistics, averaged apart.
        dim: all coordinates, the declared tail included.
        total_weight: the sum of the public weights of the cohort.
        least_weight, largest_weight: among the public weights above 0.
        clip_norm: L2 bound of the body.
        bound: joint L2 bound of body and scalars (rule R7).
        peak: largest absolute coordinate.
        unit: by which number each scalar's own bound is represented in the tail.
        step: quantisation step, 0 for real numbers.
        levels: largest absolute integer of an honest client's data, noise apart.
        row_std: standard deviation of the noise on a coordinate of each row.
        release_std: the same in the release.
        sensitivity: L2 sensitivity of the release by relation; a missing one is not supported.
        ring_bits, wrap_probability: of the integers under a sum (rule R6).
        sums: opened in a round, one a pass and group.
        error: the most by which a protocol that is not exact moves a coordinate of everybody's
            mean, passed with a chance below 2^-40; private weights divide by less, and move more.
        bytes_up, bytes_down: of the busiest client when nobody drops out, whole letters.
        charges: what a ledger must write before the round (one release).
    """

    n_clients: int
    heads: float
    n_rows: int
    min_survivors: int
    body: int
    statistics: int
    dim: int
    total_weight: float
    least_weight: float = 1.0
    largest_weight: float = 1.0
    clip_norm: float = math.inf
    bound: float = math.inf
    peak: float = math.inf
    unit: tuple[float, ...] = ()
    step: float = 0.0
    levels: int = 0
    row_std: float = 0.0
    release_std: float = 0.0
    sensitivity: Mapping[Relation, float] = field(default_factory=lambda: MappingProxyType({}))
    ring_bits: int | None = None
    wrap_probability: float = 0.0
    sums: int = 1
    error: float = 0.0
    bytes_up: int = 0
    bytes_down: int = 0
    charges: tuple[Charge, ...] = ()

    @classmethod
    def first(
        cls,
        cohort: Cohort,
        body: int,
        *,
        statistics: int = 0,
        scalars: tuple[Scalar, ...] = (),
        min_survivors: int = 1,
        sums: int = 1,
    ) -> "Plan":
        """Make the plan in front of the first part."""
        weights = [w for w in cohort.weights or (1.0,) if w > 0]
        return cls(
            n_clients=len(cohort),
            heads=cohort.heads,
            n_rows=len(cohort),
            min_survivors=min_survivors,
            body=body,
            statistics=statistics,
            dim=body + statistics + len(scalars),
            total_weight=cohort.total_weight,
            least_weight=min(weights),
            largest_weight=max(weights),
            unit=(1.0,) * len(scalars),
            sums=sums,
        )

    def but(self, **changes: object) -> "Plan":
        """Return a copy with ``changes``."""
        return replace(self, **changes)  # type: ignore[arg-type]

    @property
    def scalars_at(self) -> slice:
        """Where the declared scalars lie in the vector."""
        start = self.body + self.statistics
        return slice(start, start + len(self.unit))
