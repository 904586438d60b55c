"""A chart of lines, each named at its right end."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from privfl.evaluate._html import Markup, tag
from privfl.evaluate._svg import BOTTOM, LEFT, TOP, WIDTH, axes, figure, grid, tick, y_of
from privfl.evaluate._words import fraction

_GAP = 15  # between two names, in a letter of 12
_LETTER = 6.6  # wide, on the average
_LONGEST = 24  # letters of a name; the whole of it is in the tooltip
_TICKS = 12  # at most, or the numbers run into each other
_COLOURS = 8  # in the style sheet

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """Draw points (x, y) in order; values that are no number are left out.

    Attributes:
        name: written at the right end; empty for a line that only accompanies another.
        points: x, and y in [0, 1].
        band: (low, high) of y at each point.
        colour: a number; they come round again.
    """

    name: str
    points: tuple[Point, ...]
    band: tuple[Point, ...] = ()
    colour: int = 0

    @property
    def finite(self) -> tuple[Point, ...]:
        """The points that can be drawn."""
        return tuple(point for point in self.points if _is_finite(point))

    @property
    def style(self) -> str:
        """The class of its colour."""
        return f"c{self.colour % _COLOURS}"


class _Scale:
    """Place values on the horizontal axis, which ends at ``right``."""

    def __init__(self, lines: Sequence[Line], log: bool, right: float) -> None:
        self.right = right
        self._at = math.log if log else float
        ends = [self._at(x) for line in lines for x, _ in line.finite]
        self._low, self._span = min(ends), max(ends) - min(ends)

    def x(self, value: float) -> float:
        part = (self._at(value) - self._low) / self._span if self._span else 0.5
        return round(LEFT + part * (self.right - LEFT), 1)


def line_chart(lines: Sequence[Line], *, about: str, x: str, y: str, log: bool = False) -> Markup:
    """Draw lines over an axis of shares from 0 to 1; nothing where there is no point to draw.

    Args:
        lines: the longest one numbers the horizontal axis.
        about: what is seen, for those who do not see it; the right ends are added.
        x: name of the horizontal axis.
        y: name of the vertical axis.
        log: whether the horizontal axis is logarithmic.
    """
    lines = [line for line in lines if line.finite]
    if not lines:
        return Markup()
    named = [line for line in lines if line.name]
    letters = max((len(_short(line.name)) for line in named), default=0)
    scale = _Scale(lines, log, WIDTH - 18 - _LETTER * letters)
    places = _spread([y_of(line.finite[-1][1]) for line in named])
    ends = ", ".join(f"{line.name} {fraction(line.finite[-1][1])}" for line in named)
    return figure(
        f"{about}. At the right end: {ends}.",
        *grid([0, 0.25, 0.5, 0.75, 1], scale.right),
        *(tick(scale.x(at), f"{at:g}") for at in _ticks(lines)),
        *axes(x, y),
        *(_band(line, scale) for line in lines if line.band),
        *(_path(line, scale) for line in lines),
        *(_label(line, scale, at) for line, at in zip(named, places, strict=True)),
    )


def _ticks(lines: Sequence[Line]) -> list[float]:
    ticks = [x for x, _ in max((line.finite for line in lines), key=len)]
    return ticks[:: math.ceil(len(ticks) / _TICKS)]


def _is_finite(point: Point) -> bool:
    return all(map(math.isfinite, point))


def _path(line: Line, scale: _Scale) -> Markup:
    places = [f"{scale.x(x)} {y_of(y)}" for x, y in line.finite]
    style = f"line {line.style}" + ("" if line.name else " thin")
    if len(places) == 1:
        return tag("path", d=f"M{places[0]}h.1", class_=f"{style} dot")
    return tag("path", d="M" + "L".join(places), class_=style)


def _band(line: Line, scale: _Scale) -> Markup:
    known = [
        (scale.x(x), ends)
        for (x, _), ends in zip(line.points, line.band, strict=True)
        if _is_finite(ends)
    ]
    lower = [f"{x} {y_of(low)}" for x, (low, _) in known]
    upper = [f"{x} {y_of(high)}" for x, (_, high) in known]
    return tag("path", d="M" + "L".join(lower + upper[::-1]) + "Z", class_=f"band {line.style}")


def _label(line: Line, scale: _Scale, place: float) -> Markup:
    x, y = line.finite[-1]
    start, name, right = scale.x(x), _short(line.name), scale.right
    leader = tag(
        "path", d=f"M{start + 3} {y_of(y)}L{right + 12} {place}", class_=f"leader {line.style}"
    )
    title = tag("title", line.name)
    word = tag("text", name, title, x=right + 15, y=place + 4, class_=line.style)
    return tag("g", leader, word)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "\u2026"


def _spread(places: Sequence[float]) -> list[float]:
    """Push labels apart until none covers another, in the order in which they are."""
    gap = min(_GAP, (BOTTOM - TOP) / max(len(places), 1))
    order = sorted(range(len(places)), key=lambda k: places[k])
    spread, least, most = list(places), -math.inf, float(BOTTOM)
    for k in order:
        spread[k] = max(spread[k], least)
        least = spread[k] + gap
    for k in reversed(order):  # what was pushed below the frame moves up again
        spread[k] = min(spread[k], most)
        most = spread[k] - gap
    return spread
