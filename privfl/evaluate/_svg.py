"""Charts as inline SVG; the style sheet of the report colours them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from privfl.evaluate._html import Markup, tag
from privfl.evaluate._words import fraction

WIDTH, HEIGHT = 480, 280  # small, so that a telephone shrinks the letters little
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 360, 26, 240
_GAP = 15  # between two labels at the right end, in a letter of 12
_LONGEST = 17  # letters of a label; the whole name is in the tooltip

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """Draw points (x, y) in order; values that are no number are left out.

    Attributes:
        name: written at the right end; empty for a line that only accompanies another.
        points: x, and y in [0, 1].
        band: (low, high) of y at each point.
        colour: a number, see the style sheet.
    """

    name: str
    points: tuple[Point, ...]
    band: tuple[Point, ...] = ()
    colour: int = 0

    @property
    def finite(self) -> tuple[Point, ...]:
        """The points that can be drawn."""
        return tuple(p for p in self.points if all(map(math.isfinite, p)))


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    log: bool

    def x(self, value: float) -> float:
        """Place a value of the horizontal axis."""
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        part = 0.5 if high == low else (at - low) / (high - low)
        return round(_LEFT + part * (_RIGHT - _LEFT), 1)


def line_chart(
    lines: Sequence[Line], *, about: str, x: str, y: str, ticks: Sequence[float], log: bool = False
) -> Markup:
    """Draw lines over an axis of shares from 0 to 1.

    Args:
        lines: at least one with a point to draw.
        about: what is seen, for those who do not see it.
        x, y: names of the axes.
        ticks: of the horizontal axis.
        log: whether the horizontal axis is logarithmic.
    """
    lines = [line for line in lines if line.finite]
    ends = [p[0] for line in lines for p in line.finite]
    scale = _Scale(min(ends), max(ends), log)
    named = [line for line in lines if line.name]
    places = _spread([_y(line.finite[-1][1]) for line in named])
    return _figure(
        about,
        *_grid([0, 0.25, 0.5, 0.75, 1]),
        *(_tick(scale.x(t), f"{t:g}") for t in ticks if scale.low <= t <= scale.high),
        *_axes(x, y),
        *(_band(line, scale) for line in lines if line.band),
        *(_path(line, scale) for line in lines),
        *(_label(line, scale, at) for line, at in zip(named, places, strict=True)),
    )


def bar_chart(
    first: Sequence[float], second: Sequence[float], *, about: str, x: str, y: str
) -> Markup:
    """Draw two bars a class: the first as an outline, the second filled."""
    top = max([*first, *second, 0.01])
    pitch = (WIDTH - 10 - _LEFT) / len(first)
    bars = [
        _bar(_LEFT + pitch * k + pitch * shift, pitch * 0.36, value / top, style)
        for style, shift, values in (("outline", 0.1, first), ("solid", 0.54, second))
        for k, value in enumerate(values)
    ]
    marks = [_tick(round(_LEFT + pitch * (k + 0.5), 1), str(k)) for k in range(len(first))]
    return _figure(about, *_grid([0, 0.5, 1], top, WIDTH - 10), *bars, *marks, *_axes(x, y))


def _figure(about: str, *parts: Markup) -> Markup:
    box = f"0 0 {WIDTH} {HEIGHT}"
    return tag("svg", *parts, viewBox=box, role="img", aria_label=about, class_="chart")


def _y(value: float) -> float:
    return round(_BOTTOM - min(max(value, 0), 1) * (_BOTTOM - _TOP), 1)


def _grid(shares: Sequence[float], top: float = 1, right: float = _RIGHT) -> list[Markup]:
    rules = [tag("path", d=f"M{_LEFT} {_y(s)}H{right}", class_="rule") for s in shares]
    words = [
        tag("text", fraction(s * top), x=_LEFT - 6, y=_y(s) + 4, text_anchor="end") for s in shares
    ]
    return rules + words


def _tick(at: float, text: str) -> Markup:
    return tag("text", text, x=at, y=_BOTTOM + 16, text_anchor="middle")


def _axes(x: str, y: str) -> list[Markup]:
    below = tag("text", x, x=_LEFT, y=HEIGHT - 5, class_="axis")
    return [below, tag("text", y, x=0, y=12, class_="axis")]


def _path(line: Line, scale: _Scale) -> Markup:
    places = [f"{scale.x(x)} {_y(y)}" for x, y in line.finite]
    style = f"line c{line.colour}" + ("" if line.name else " thin")
    if len(places) == 1:
        return tag("path", d=f"M{places[0]}h.1", class_=f"{style} dot")
    return tag("path", d="M" + "L".join(places), class_=style)


def _band(line: Line, scale: _Scale) -> Markup:
    xs = [scale.x(x) for x, _ in line.points]
    lower = [f"{x} {_y(low)}" for x, (low, _) in zip(xs, line.band, strict=True)]
    upper = [f"{x} {_y(high)}" for x, (_, high) in zip(xs, line.band, strict=True)]
    return tag("path", d="M" + "L".join(lower + upper[::-1]) + "Z", class_=f"band c{line.colour}")


def _label(line: Line, scale: _Scale, place: float) -> Markup:
    x, y = line.finite[-1]
    start = scale.x(x)
    leader = tag("path", d=f"M{start + 3} {_y(y)}L{_RIGHT + 12} {place}", class_="leader")
    name = line.name if len(line.name) <= _LONGEST else line.name[: _LONGEST - 1] + "\u2026"
    word = tag(
        "text", name, tag("title", line.name), x=_RIGHT + 15, y=place + 4, class_=f"c{line.colour}"
    )
    return tag("g", leader, word)


def _bar(x: float, width: float, share: float, style: str) -> Markup:
    top = _y(share)
    return tag(
        "rect",
        x=round(x, 1),
        y=top,
        width=round(width, 1),
        height=round(_BOTTOM - top, 1),
        class_=f"bar {style}",
    )


def _spread(places: Sequence[float]) -> list[float]:
    """Push labels apart until none covers another, in the order in which they are."""
    gap = min(_GAP, (_BOTTOM - _TOP) / max(len(places), 1))
    order = sorted(range(len(places)), key=lambda k: places[k])
    spread, least, most = list(places), -math.inf, float(_BOTTOM)
    for k in order:
        spread[k] = max(spread[k], least)
        least = spread[k] + gap
    for k in reversed(order):  # what was pushed below the frame moves up again
        spread[k] = min(spread[k], most)
        most = spread[k] - gap
    return spread
