"""What a sum of integers puts in front of itself."""

import math

from privfl.compression._quantize import Quantize
from privfl.core import CompositionError, Contract
from privfl.parts import Part, SumProtocol


def as_integers(protocol: SumProtocol, given: Contract) -> tuple[Part, ...]:
    """Return a protocol that sums integers, behind `Quantize` where real numbers reach it.

    Raises:
        CompositionError: where nobody clips, so that no ring is large enough (rule R6).
    """
    if given.clip_norm == math.inf:
        raise CompositionError(
            "R6",
            ("no clip norm", protocol),
            f"{protocol!r} sums in a ring that no honest sum may overflow, and nobody clips",
            "Put Clip(…) before it",
        )
    return (protocol,) if given.form == "integer" else (Quantize(), protocol)
