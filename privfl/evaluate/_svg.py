"""The frame of a chart as inline SVG; the style sheet of the report colours it."""

from collections.abc import Sequence

from privfl.evaluate._html import Markup, tag
from privfl.evaluate._words import fraction

WIDTH, HEIGHT = 480, 280  # small, so that a telephone shrinks the letters little
LEFT, TOP, BOTTOM = 34, 26, 240


def figure(about: str, *parts: Markup) -> Markup:
    """Frame a chart, and say what is seen for those who do not see it."""
    box = f"0 0 {WIDTH} {HEIGHT}"
    return tag("svg", *parts, viewBox=box, role="img", aria_label=about, class_="chart")


def y_of(value: float) -> float:
    """Place a share between 0 and 1 on the vertical axis."""
    return round(BOTTOM - min(max(value, 0), 1) * (BOTTOM - TOP), 1)


def grid(shares: Sequence[float], right: float, top: float = 1) -> list[Markup]:
    """Draw a rule at each share of ``top``, from the axis to ``right``."""
    rules = [tag("path", d=f"M{LEFT} {y_of(s)}H{right}", class_="rule") for s in shares]
    words = [
        tag("text", fraction(s * top), x=LEFT - 6, y=y_of(s) + 4, text_anchor="end") for s in shares
    ]
    return rules + words


def tick(at: float, text: str) -> Markup:
    """Number a place of the horizontal axis."""
    return tag("text", text, x=at, y=BOTTOM + 16, text_anchor="middle")


def axes(x: str, y: str) -> list[Markup]:
    """Name both axes."""
    below = tag("text", x, x=LEFT, y=HEIGHT - 5, class_="axis")
    return [below, tag("text", y, x=0, y=12, class_="axis")]
