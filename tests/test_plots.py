import math
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xseg_jax.report import plots
from xseg_jax.report.plots import Axis, Dot, Line

FINITE = st.floats(-1e6, 1e6, allow_subnormal=False)


def numbers_in(path):
    return [float(text) for text in re.findall(r"-?\d+\.?\d*", path)]


def test_a_line_goes_from_corner_to_corner():
    chart = plots.line_chart(
        "t", [Line("a", [0, 10], [0, 1])], Axis("x", 0, 10), Axis("y", 0, 1), says="s"
    )
    frame = chart["frame"]
    ends = [frame["left"], frame["bottom"], frame["right"], frame["top"]]
    assert numbers_in(chart["lines"][0]["path"]) == ends
    assert [tick["text"] for tick in chart["y"]["ticks"]] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert chart["table"] == {"head": ["x", "a"], "rows": [["0", "0"], ["10", "1"]]}


@given(st.lists(FINITE, min_size=1, max_size=30), st.integers(0, 20))
def test_all_points_lie_in_the_frame(y, style):
    line = Line("a", list(range(len(y))), y, style=style, marked=True)
    chart = plots.line_chart("t", [line], Axis("x"), Axis("y"), says="s")
    frame, (drawn,) = chart["frame"], chart["lines"]
    assert len(drawn["points"]) == len(y)
    for x, y in drawn["points"]:
        assert frame["left"] <= x <= frame["right"]
        assert frame["top"] <= y <= frame["bottom"]
    for axis in ("x", "y"):
        assert 1 <= len(chart[axis]["ticks"]) <= 7


def test_what_is_missing_leaves_a_gap_and_a_point_alone_is_marked():
    line = Line("a", [0, 1, 2, 3, 4], [1, None, 2, math.nan, 3])
    (drawn,) = plots.line_chart("t", [line], Axis("x"), Axis("y"), says="s")["lines"]
    assert drawn["path"].count("M") == 3
    assert len(drawn["points"]) == 3
    assert drawn["mark"]


def test_a_logarithmic_axis_has_powers_of_ten():
    line = Line("a", [1, 10, 1000], [1, 2, 3])
    chart = plots.line_chart("t", [line], Axis("x", log=True), Axis("y"), says="s")
    assert [tick["text"] for tick in chart["x"]["ticks"]] == ["1", "10", "100", "1000"]
    first, second, last = numbers_in(chart["lines"][0]["path"])[::2]
    assert second - first == pytest.approx((last - first) / 3, abs=0.02)


def test_bands_go_there_and_back():
    line = Line("a", [0, 1], [1, 2], low=[0, None], high=[2, None])
    (drawn,) = plots.line_chart("t", [line], Axis("x"), Axis("y"), says="s")["lines"]
    assert len(numbers_in(drawn["band"])) == 4  # One place is known, its two ends.
    assert drawn["band"].endswith("z")


def test_dots_stand_over_their_values_with_their_intervals():
    rows = [("pore", [Dot(0, 0.5, 0.4, 0.6), Dot(1, None)]), ("metal", [Dot(0, 1.0), Dot(1, 0.0)])]
    chart = plots.dot_chart("t", ["net", "forest"], rows, Axis("x", 0, 1), says="s", zero=True)
    left, right = chart["frame"]["left"], chart["frame"]["right"]
    (pore,), metal = (row["marks"] for row in chart["rows"])
    assert pore["x"] == (left + right) / 2
    assert pore["x"] - pore["from"] == pytest.approx(pore["to"] - pore["x"])
    assert [mark["x"] for mark in metal] == [right, left]
    assert metal[0]["from"] is None
    assert chart["zero"] == left
    assert metal[0]["mark"] != metal[1]["mark"]
    assert metal[0]["y"] != metal[1]["y"]


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="no finite value"):
        plots.line_chart("t", [Line("a", [0], [None])], Axis("x"), Axis("y"), says="s")
    with pytest.raises(ValueError, match="no finite value"):
        plots.dot_chart("t", ["a"], [("r", [Dot(0, math.inf)])], Axis("x"), says="s", zero=True)


@given(FINITE, st.floats(1e-3, 1e6))
def test_ticks_lie_within_and_apart_alike(low, spread):
    found = plots.ticks(low, low + spread)
    assert all(low - 1e-6 * spread <= tick <= low + spread * (1 + 1e-6) or abs(low) > 1e3 * spread
               for tick in found)  # fmt: skip
    steps = {round((b - a) / spread, 6) for a, b in pairwise(found)}
    assert len(steps) <= 1 or abs(low) > 1e3 * spread


def test_a_long_name_of_a_row_is_cut_in_the_middle():
    rows = [("a" * 40 + "b" * 40, [Dot(0, 1.0)]), ("pore $x$", [Dot(0, 2.0)])]
    long, short = plots.dot_chart("t", ["net"], rows, Axis("x"), says="s")["rows"]
    assert long["name"] == "a" * 23 + "…" + "b" * 24
    assert short["name"] == "pore $x$"
