"""Small charts as numbers: where ticks, lines and points stand in an SVG; a template draws them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from matplotlib.ticker import LogLocator, MaxNLocator

from xseg_jax.report.numbers import MINUS, NONE

WIDTH, HEIGHT = 360, 236
"""Units of the SVG, about pixels: text in it stays legible on a telephone."""
LEFT, RIGHT, TOP, BOTTOM = 50, 18, 10, 44
MOST_LETTERS = 48
"""Of a row's name, so that it ends within the chart."""
ROW = 22
"""Height of a row of dots."""
STYLES = 6
"""Colours, dashes and marks that a style sheet tells apart; lines beyond take them again."""
# A mark around (0, 0), in the order of the styles: told apart without colour too.
MARKS = (
    "M-3,0a3,3 0 1,0 6,0a3,3 0 1,0 -6,0z",
    "M-2.8,-2.8h5.6v5.6h-5.6z",
    "M0,-3.6L3.4,2.6H-3.4z",
    "M0,-3.8L3.2,0L0,3.8L-3.2,0z",
    "M-3.4,-2.6H3.4L0,3.6z",
    "M-3,-1h2v-2h2v2h2v2h-2v2h-2v-2h-2z",
)

LEAST = 1e-12
"""Smallest part of the values that an axis shows."""

Values = Sequence[float | None]


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
      name: in the legend.
      x: places; where the axis is logarithmic, above 0.
      y: values; None, and what is not finite, leave a gap.
      low: lower ends of intervals, if there are any.
      high: upper ends.
      style: which colour, dash and mark it has.
      rgb: colour of a class, in place of the style's.
      marked: whether each point is marked.
    """

    name: str
    x: Sequence[float]
    y: Values
    low: Values | None = None
    high: Values | None = None
    style: int = 0
    rgb: tuple[int, int, int] | None = None
    marked: bool = False


@dataclass(frozen=True)
class Axis:
    """An axis of a chart.

    Attributes:
      label: with its unit.
      low: where it begins; None for the lowest value.
      high: where it ends; None for the highest.
      log: whether it is logarithmic.
      show: writes a value of it in a table.
    """

    label: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    show: Callable[[float], str] = field(default=lambda value: f"{value:.4g}")


def ticks(low: float, high: float, *, log: bool = False, most: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, both included where they are round."""
    locator = LogLocator(numticks=most) if log else MaxNLocator(most, steps=[1, 2, 2.5, 5, 10])
    slack = 1e-9 * max(abs(low), abs(high), high - low)
    found = [float(value) for value in locator.tick_values(low, high)]
    return [value for value in found if low - slack <= value <= high + slack]


def line_chart(
    title: str,
    lines: Sequence[Line],
    x: Axis,
    y: Axis,
    *,
    says: str,
    diagonal: bool = False,
    at: float | None = None,
    at_means: str = "",
) -> dict[str, Any]:
    """A chart of lines, for the template `charts.html`.

    Args:
      title: what it shows.
      lines: at least one, with at least one finite value among them.
      x: the axis below.
      y: the axis at the left.
      says: one sentence for those who do not see it.
      diagonal: draw where y equals x.
      at: place of a vertical line.
      at_means: what stands there.

    Returns:
      title, says, ticks and lines in units of the SVG, a legend, and a table of all values.

    Raises:
      ValueError: there is nothing to draw.
    """
    finite = [value for line in lines for value in _all_y(line) if _is_finite(value)]
    places = [place for line in lines for place in line.x] + ([] if at is None else [at])
    if not finite or not places:
        raise ValueError(f"{title}: there is no finite value to draw")
    across = _Scale(x, places, LEFT, WIDTH - RIGHT)
    up = _Scale(y, finite, HEIGHT - BOTTOM, TOP)
    drawn = [_drawn(line, across, up) for line in lines]
    return {
        "kind": "lines",
        "title": title,
        "says": says,
        "width": WIDTH,
        "height": HEIGHT,
        "frame": {"left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM},
        "x": {"label": x.label, "ticks": across.ticks()},
        "y": {"label": y.label, "ticks": up.ticks()},
        "lines": drawn,
        "diagonal": _path([(across(v), up(v)) for v in (0.0, 1.0)]) if diagonal else None,
        "at": None if at is None else {"place": across(at), "means": at_means},
        "table": _table(lines, x, y),
    }


@dataclass(frozen=True)
class Dot:
    """A value with its interval, in a row of a chart of dots.

    Attributes:
      series: which method or kind it is, by its place in the legend.
      value: where the dot stands.
      low: lower end of the interval; None where none is known.
      high: upper end.
    """

    series: int
    value: float | None
    low: float | None = None
    high: float | None = None


def dot_chart(
    title: str,
    series: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Dot]]],
    x: Axis,
    *,
    says: str,
    zero: bool = False,
) -> dict[str, Any]:
    """A row for each name, with a dot and an interval for each series.

    Args:
      title: what it shows.
      series: names of the legend.
      rows: name and dots of each.
      x: the axis below.
      says: one sentence for those who do not see it.
      zero: draw a line where the value is 0.

    Returns:
      As `line_chart`.

    Raises:
      ValueError: there is nothing to draw.
    """
    dots = [dot for _, row in rows for dot in row]
    ends = [end for dot in dots for end in (dot.value, dot.low, dot.high)]
    finite = [end for end in ends if _is_finite(end)] + ([0.0] if zero else [])
    if not [dot for dot in dots if _is_finite(dot.value)]:
        raise ValueError(f"{title}: there is no finite value to draw")
    across = _Scale(x, finite, 12, WIDTH - RIGHT)
    height = TOP + ROW * len(rows) * 2 + BOTTOM
    drawn = []
    for number, (name, row) in enumerate(rows):
        middle = TOP + ROW * (2 * number + 1.2)
        marks = []
        for dot in row:
            if not _is_finite(dot.value):
                continue
            place = middle + (dot.series - (len(series) - 1) / 2) * min(7, ROW / len(series))
            ends = [across(end) for end in (dot.low, dot.high) if _is_finite(end)]
            start, end = ends if len(ends) == 2 else (None, None)
            marks.append({
                "style": dot.series % STYLES,
                "mark": MARKS[dot.series % STYLES],
                "x": across(dot.value),
                "y": round(place, 1),
                "from": start,
                "to": end,
            })  # fmt: skip
        drawn.append({"name": _brief(name), "y": round(middle, 1), "marks": marks})
    return {
        "kind": "dots",
        "title": title,
        "says": says,
        "width": WIDTH,
        "height": height,
        "frame": {"left": 12, "right": WIDTH - RIGHT, "top": TOP, "bottom": height - BOTTOM},
        "x": {"label": x.label, "ticks": across.ticks()},
        "zero": across(0.0) if zero else None,
        "rows": drawn,
        "legend": [
            {"name": name, "style": n % STYLES, "rgb": None, "mark": MARKS[n % STYLES]}
            for n, name in enumerate(series)
        ],
        "table": None,
    }


def _brief(name: str) -> str:
    """A name without its middle, where it is long."""
    half = MOST_LETTERS // 2
    return name if len(name) <= MOST_LETTERS else f"{name[: half - 1]}…{name[-half:]}"


class _Scale:
    """From values to units of the SVG."""

    def __init__(self, axis: Axis, values: Sequence[float], start: float, end: float) -> None:
        low = min(values) if axis.low is None else axis.low
        high = max(values) if axis.high is None else axis.high
        if axis.log:
            low, high = 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high))
        elif high - low <= LEAST * max(abs(low), abs(high), LEAST):
            # One value stands in the middle; what is as near to it as rounding is the same one.
            spread = abs(low) / 10 if abs(low) > LEAST else 1.0
            low, high = low - spread, high + spread
        if axis.log and low == high:
            low, high = low / 10, high * 10
        if not axis.log:  # Room beyond what is drawn, where no end is asked for.
            margin = 0.04 * (high - low)
            low = low - margin if axis.low is None else low
            high = high + margin if axis.high is None else high
        self.low, self.high, self._log = low, high, axis.log
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self._log:
            low, high, value = (math.log10(v) for v in (low, high, value))
        share = (value - low) / (high - low)
        return round(self._start + share * (self._end - self._start), 2)

    def ticks(self) -> list[dict[str, Any]]:
        found = ticks(self.low, self.high, log=self._log)
        return [
            {"place": self(value), "text": f"{value:.6g}".replace("-", MINUS)} for value in found
        ]


def _drawn(line: Line, across: _Scale, up: _Scale) -> dict[str, Any]:
    style = line.style % STYLES
    runs, run = [], []
    for x, y in zip(line.x, line.y, strict=True):
        if _is_finite(y):
            run.append((across(x), up(y)))
        elif run:
            runs.append(run)
            run = []
    runs += [run] if run else []
    points = [point for one in runs for point in one]
    # A point alone has no line to be seen by.
    marked = line.marked or any(len(one) == 1 for one in runs)
    return {
        "name": line.name,
        "style": style,
        "rgb": line.rgb,
        "path": "".join(map(_path, runs)),
        "mark": MARKS[style] if marked else None,
        "points": points if marked else [],
        "band": _band(line, across, up),
    }


def _band(line: Line, across: _Scale, up: _Scale) -> str | None:
    """Outline of the intervals of a line."""
    if line.low is None or line.high is None:
        return None
    ends = zip(line.x, line.low, line.high, strict=True)
    known = [(x, low, high) for x, low, high in ends if _is_finite(low) and _is_finite(high)]
    outline = [(across(x), up(high)) for x, _, high in known]
    outline += [(across(x), up(low)) for x, low, _ in reversed(known)]
    return _path(outline) + "z" if outline else None


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in points) if points else ""


def _table(lines: Sequence[Line], x: Axis, y: Axis) -> dict[str, Any]:
    """All values, a row for each place."""
    columns = [dict(zip(line.x, line.y, strict=True)) for line in lines]
    places = sorted({place for line in lines for place in line.x})
    rows = [
        [x.show(place), *(_cell(column.get(place), y) for column in columns)] for place in places
    ]
    return {"head": [x.label, *(line.name for line in lines)], "rows": rows}


def _cell(value: float | None, axis: Axis) -> str:
    return axis.show(value) if _is_finite(value) else NONE


def _all_y(line: Line) -> list[float | None]:
    return [*line.y, *(line.low or ()), *(line.high or ())]


def _is_finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
