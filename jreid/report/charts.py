"""Charts as SVG that is part of the page; its style sheet gives them their colours."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jreid.report.html import Markup, element, escaped

COLOURS = 6  # classes c0 to c5 of the style sheet
_DASHES = 6  # classes dash0 to dash5, of which the first is no dash
_WIDTH, _HEIGHT = 360, 240  # of the drawing, whose letters are readable on a phone
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 10, 40
_MOST_POINTS = 300  # of a line

Number = int | float


@dataclass(frozen=True)
class Line:
    """A curve: its name, its number among others, and whether it is dashed.

    The number gives its colour; where colours come again, the dashes are others.
    """

    name: str
    x: Sequence[Number]
    y: Sequence[Number]
    number: int = 0
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """One of a chart's two axes: its label, ends, and where it is marked."""

    label: str
    low: Number
    high: Number
    logarithmic: bool = False

    def share(self, value: Number) -> float:
        """Where a value is between the ends, 0 to 1."""
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = (math.log10(v) for v in (max(value, low), low, high))
        return (value - low) / (high - low)

    def ticks(self) -> list[float]:
        """Round values between the ends."""
        if self.logarithmic:
            first, last = (round(math.log10(v)) for v in (self.low, self.high))
            return [10.0**power for power in range(first, last + 1)]
        return round_values(self.low, self.high)


def round_values(low: Number, high: Number, count: int = 5) -> list[float]:
    """About `count` multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def spanning(label: str, *values: Sequence[Number], zero: bool = False) -> Axis:
    """An axis on which all finite values are."""
    joined = np.concatenate(
        [np.asarray(v, np.float64) for v in values] or [np.zeros(1)]
    )
    finite = joined[np.isfinite(joined)]
    low, high = (
        (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    )
    low = min(low, 0.0) if zero else low
    margin = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
    return Axis(label, low if zero and low == 0 else low - margin, high + margin)


def line_chart(lines: Sequence[Line], x: Axis, y: Axis, text: str) -> Markup:
    """Curves and, below them, their names; `text` says what is drawn."""
    drawn = []
    for line in lines:
        drawn += [_piece(line, points) for points in _pieces(line, x, y)]
    return Markup(_drawing(x, y, drawn, text) + legend(lines))


def _piece(line: Line, points: str) -> Markup:
    """A part of a curve; a dot where it is one point, as of a single validation."""
    left, _, top = points.partition(",")
    if " " in top:
        return element("polyline", points=points, class_=f"line {_look(line)}")
    return element("circle", cx=left, cy=top, r="3", class_=f"dot {_look(line)}")


def _look(line: Line) -> str:
    again, colour = divmod(line.number, COLOURS)
    return f"c{colour} dash{(2 * again + line.dashed) % _DASHES}"


def _pieces(line: Line, x: Axis, y: Axis) -> Iterator[str]:
    """The points of a curve, anew after each value that is not finite."""
    step = -(-len(line.x) // _MOST_POINTS)
    xs, ys = (np.asarray(v, np.float64)[::step] for v in (line.x, line.y))
    finite = np.isfinite(xs) & np.isfinite(ys)
    breaks = np.flatnonzero(~finite)
    for part in np.split(np.arange(len(xs)), breaks):
        part = part[finite[part]]
        if part.size:
            yield " ".join(_place(x, y, float(xs[i]), float(ys[i])) for i in part)


def legend(lines: Sequence[Line]) -> Markup:
    """Names with their colours and dashes; none of a line without a name."""
    items = [element("li", _key(line), line.name) for line in lines if line.name]
    return element("ul", *items, class_="legend") if items else Markup("")


def _key(line: Line) -> Markup:
    ends = {"x1": "0", "y1": "4", "x2": "30", "y2": "4"}
    drawn = element("line", **ends, class_=f"line {_look(line)}")
    return element("svg", drawn, viewBox="0 0 30 8", class_="key", aria_hidden="true")


def histogram_chart(
    shares: Sequence[tuple[str, np.ndarray]], edges: np.ndarray, x: str, text: str
) -> Markup:
    """Outlines of several histograms over the same bins."""
    lines = []
    for number, (name, heights) in enumerate(shares):
        xs = np.repeat(edges, 2)
        ys = np.concatenate([[0], np.repeat(heights, 2), [0]])
        lines.append(Line(name, xs.tolist(), ys.tolist(), number))
    top = max(float(heights.max(initial=0)) for _, heights in shares)
    y = Axis("share of the pairs (%)", 0, top * 1.08 or 1)
    return line_chart(lines, Axis(x, float(edges[0]), float(edges[-1])), y, text)


def scatter_chart(
    points: np.ndarray,
    kinds: Sequence[str],
    square: Sequence[bool],
    titles: Sequence[str],
    text: str,
) -> Markup:
    """Points [n 2] as circles or squares of a class each, with a title to hover for."""
    x, y = (spanning("", column.tolist()) for column in points.T)
    drawn = []
    for (px, py), kind, is_square, title in zip(
        points.tolist(), kinds, square, titles, strict=True
    ):
        left, top = (float(v) for v in _place(x, y, px, py).split(","))
        name = element("title", title)
        if is_square:
            side = {"x": f"{left - 2.6:.1f}", "y": f"{top - 2.6:.1f}"}
            drawn.append(
                element("rect", name, **side, width="5.2", height="5.2", class_=kind)
            )
        else:
            at = {"cx": f"{left:.1f}", "cy": f"{top:.1f}"}
            drawn.append(element("circle", name, **at, r="3", class_=kind))
    return _drawing(x, y, drawn, text, bare=True)


def _place(x: Axis, y: Axis, px: Number, py: Number) -> str:
    left = _LEFT + x.share(px) * (_WIDTH - _LEFT - _RIGHT)
    top = _HEIGHT - _BOTTOM - y.share(py) * (_HEIGHT - _TOP - _BOTTOM)
    return f"{left:.1f},{top:.1f}"


def _drawing(
    x: Axis, y: Axis, drawn: Sequence[Markup], text: str, *, bare: bool = False
) -> Markup:
    frame = [] if bare else [*_marks(x, y), *_labels(x, y)]
    inside = Markup("".join([*frame, *drawn]))
    return element(
        "svg", inside, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=text
    )


def _marks(x: Axis, y: Axis) -> Iterator[Markup]:
    """Grid lines with their values."""
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    label = _labeller(x.ticks(), x.logarithmic)
    for tick in x.ticks():
        left = _place(x, y, tick, y.low).split(",")[0]
        yield _grid(left, str(_TOP), left, str(bottom))
        yield _text(label(tick), left, str(bottom + 14), "middle")
    label = _labeller(y.ticks(), y.logarithmic)
    for tick in y.ticks():
        top = _place(x, y, x.low, tick).split(",")[1]
        yield _grid(str(_LEFT), top, str(right), top)
        yield _text(label(tick), str(_LEFT - 5), f"{float(top) + 3.5:.1f}", "end")


def _labels(x: Axis, y: Axis) -> Iterator[Markup]:
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield _text(x.label, f"{middle:.0f}", str(_HEIGHT - 8), "middle")
    centre = (_TOP + _HEIGHT - _BOTTOM) / 2
    turned = Markup(
        f'<text text-anchor="middle" transform="translate(11 {centre:.0f}) '
        f'rotate(-90)">{escaped(y.label)}</text>'
    )
    yield turned


def _grid(x1: str, y1: str, x2: str, y2: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="grid")


def _text(text: str, x: str, y: str, anchor: str) -> Markup:
    return element("text", text, x=x, y=y, text_anchor=anchor)


def _labeller(ticks: Sequence[float], logarithmic: bool) -> Callable[[float], str]:
    """Values with as many digits as tell the marks apart."""
    if logarithmic:
        return lambda tick: f"{tick:g}"
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return lambda tick: f"{tick + 0.0:,.{digits}f}".replace(",", "\u202f")
