"""What the report draws: the strip, the slider, the crowd, the labels, the accuracy."""

from itertools import chain

from torch import Tensor

from privfl.evaluate._html import Markup, tag
from privfl.evaluate._png import data_uri, grey
from privfl.evaluate._summary import UNATTACKED
from privfl.evaluate._svg_bars import bar_chart
from privfl.evaluate._svg_lines import Line, line_chart
from privfl.evaluate._table import LabelBars, Pictures, SliderStop, StripRow, Table
from privfl.evaluate._words import STRIP_CAPTION, STRIP_TITLE, TRUTH, epsilon, fraction, picked

_ENLARGE = 3  # browsers smooth small images; at three times the size pixels stay pixels


def strip(pictures: Pictures) -> Markup:
    """Draw the hero strip, one row a pipeline."""
    rows = [_strip_row(row) for row in pictures.strip]
    if pictures.truth is not None:
        truth = _tiles(pictures.truth, "What the clients hold.")
        rows.insert(0, tag("li", tag("b", TRUTH), truth))
    caption = tag("figcaption", STRIP_CAPTION)
    return tag("figure", tag("h2", STRIP_TITLE), tag("ul", *rows), caption, class_="strip")


def slider(stops: tuple[SliderStop, ...]) -> Markup:
    """Draw one stop a noise level; a radio button each, so that it needs no script."""
    parts = chain.from_iterable(_stop(k, stop, k == 0) for k, stop in enumerate(stops))
    hint = tag("p", "Choose a noise level, or move with the arrow keys.", class_="hint")
    return tag("div", hint, tag("div", *parts, class_="slider", style=f"--stops:{len(stops)}"))


def crowd(pictures: Pictures) -> Markup:
    """Draw how identification falls with the number of images in a sum."""
    points = sorted(pictures.crowd, key=lambda point: point.n_images)
    shares = tuple((float(p.n_images), p.identified) for p in points)
    nulls = tuple((float(p.n_images), p.null) for p in points)
    lines = [
        Line("identified", shares, tuple(p.interval for p in points), colour=1),
        Line("null", nulls, colour=0),
    ]
    about = "Share identified against the number of images in the sum"
    axes = {"x": "images in the sum (logarithmic)", "y": "share picked out of 100"}
    return line_chart(lines, about=about, log=True, **axes)


def labels(bars: LabelBars) -> Markup:
    """Draw true and inferred label shares of one client."""
    words = (
        f"Distance to the truth {fraction(bars.distance)}; a blind guess {fraction(bars.blind)}."
    )
    about = f"{bars.title}. True and inferred share of each label. {words}"
    chart = bar_chart(bars.true, bars.inferred, about=about, x="label", y="share of its images")
    key = tag(
        "span", tag("i", class_="key outline"), "true ", tag("i", class_="key solid"), "inferred"
    )
    head = tag("figcaption", tag("b", bars.title), " ", key)
    return tag("figure", head, chart, tag("p", words, class_="hint"))


def accuracies(table: Table) -> Markup:
    """Draw the accuracy of each row by round, without attack; empty where no curve is known."""
    cells = (table.cells.get((row.name, UNATTACKED)) for row in table.rows)
    lines = [
        Line(cell.row, by_round(mean_curve(cell.curves)), colour=k)
        for k, cell in enumerate(cells)
        if cell is not None
    ]
    about = "Accuracy by round without attack"
    return line_chart(lines, about=about, x="round", y="accuracy without attack")


def mean_curve(curves: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
    """Average over seeds, as far as all of them came."""
    return tuple(sum(values) / len(values) for values in zip(*curves, strict=False))


def by_round(curve: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """Number the values of a curve from round 1."""
    return tuple((float(k), value) for k, value in enumerate(curve, start=1))


def _strip_row(row: StripRow) -> Markup:
    n = len(row.images)
    alt = f"Rebuilt under {row.name}: {row.picked} of {n} identified."
    return tag("li", tag("b", row.name), _tiles(row.images, alt), _outcome(row, n))


def _stop(k: int, stop: SliderStop, first: bool) -> tuple[Markup, ...]:
    n = len(stop.images)
    alt = f"Rebuilt under noise {stop.noise:g}: {stop.picked} of {n} identified."
    radio = tag("input", type="radio", name="noise", id=f"noise-{k}", checked=first)
    label = tag("label", tag("span", f"{stop.noise:g}"), for_=f"noise-{k}")
    return radio, label, tag("div", _tiles(stop.images, alt), _outcome(stop, n), class_="stop")


def _outcome(shown: StripRow | SliderStop, n: int) -> Markup:
    pips = [tag("i", class_="on" if k < shown.picked else "off") for k in range(n)]
    return tag(
        "div",
        tag("span", *pips, class_="pips", aria_hidden="true"),
        tag("strong", picked(shown)),
        tag("span", f"accuracy {fraction(shown.accuracy)}"),
        tag("span", epsilon(shown.epsilon)),
        class_="outcome",
    )


def _tiles(images: Tensor, alt: str) -> Markup:
    uri = data_uri(grey(images, enlarge=_ENLARGE))
    return tag("span", tag("img", src=uri, alt=alt), class_="tiles", style=f"--n:{len(images)}")
