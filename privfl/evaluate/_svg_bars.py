"""A chart of pairs of bars."""

import math
from collections.abc import Sequence

from privfl.evaluate._html import Markup, tag
from privfl.evaluate._svg import BOTTOM, LEFT, WIDTH, axes, figure, grid, tick, y_of


def bar_chart(
    first: Sequence[float], second: Sequence[float], *, about: str, x: str, y: str
) -> Markup:
    """Draw two bars a class, the first as an outline, the second filled.

    Args:
        first: one value a class, at least 0.
        second: as many.
        about: what is seen, for those who do not see it.
        x: name of the horizontal axis.
        y: name of the vertical axis.
    """
    first, second = ([v if math.isfinite(v) else 0.0 for v in bars] for bars in (first, second))
    top = max([*first, *second, 0.01])
    pitch = (WIDTH - 10 - LEFT) / len(first)
    bars = [
        _bar(LEFT + pitch * k + pitch * shift, pitch * 0.36, value / top, style)
        for style, shift, values in (("outline", 0.1, first), ("solid", 0.54, second))
        for k, value in enumerate(values)
    ]
    marks = [tick(round(LEFT + pitch * (k + 0.5), 1), str(k)) for k in range(len(first))]
    return figure(about, *grid([0, 0.5, 1], WIDTH - 10, top), *bars, *marks, *axes(x, y))


def _bar(x: float, width: float, share: float, style: str) -> Markup:
    top = y_of(share)
    return tag(
        "rect",
        x=round(x, 1),
        y=top,
        width=round(width, 1),
        height=round(BOTTOM - top, 1),
        class_=f"bar {style}",
    )
