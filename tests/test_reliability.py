import numpy as np
import pytest
from matplotlib.colors import to_rgb

from xseg_jax.report import reliability
from xseg_jax.report.paper import SINGLE

EDGES = [n / 15 for n in range(16)]


def curve(pixels, values):
    """Bins from the last one down: pixels, and confidence and accuracy."""
    empty = 15 - len(pixels)
    return {
        "pixels": [0] * empty + pixels[::-1],
        "confidence": [None] * empty + [c for c, _ in values[::-1]],
        "accuracy": [None] * empty + [a for _, a in values[::-1]],
    }


BEFORE, AFTER = [(0.98, 0.9), (0.9, 0.7)], [(0.96, 0.95), (0.9, 0.89), (0.85, 0.84)]
BINS = {"edges": EDGES, "before": curve([90, 10], BEFORE), "after": curve([50, 30, 20], AFTER)}
EMPTY = {"edges": EDGES, "before": curve([], []), "after": curve([], [])}


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draws, and gives the figure."""
    kept = []
    save = reliability.save_figure
    monkeypatch.setattr(
        reliability,
        "save_figure",
        lambda f, path, formats: (kept.append(f), save(f, path, formats)),
    )

    def draw(**calibration):
        reliability.draw(tmp_path / "calibration.png", calibration)
        assert (tmp_path / "calibration.png").stat().st_size > 10_000
        return kept[-1]

    return draw


def test_curves_before_and_after_with_the_shares_of_pixels(drawn):
    figure = drawn(temperature=1.8, bins=BINS, boundary={"reach": 2, "bins": EMPTY})
    curves, at_boundary, shares, _ = figure.axes
    diagonal, before, after = curves.get_lines()
    assert [list(diagonal.get_xdata()), list(diagonal.get_ydata())] == [[0, 1], [0, 1]]
    for line, expected in ((before, BEFORE), (after, AFTER)):
        np.testing.assert_array_equal(line.get_xydata(), expected[::-1])
    heights = [bar.get_height() for bar in shares.patches]
    np.testing.assert_allclose(heights, [0.1, 0.9, 0.2, 0.3, 0.5])
    # Side by side, within their bin.
    last = [bar for bar in shares.patches if bar.get_x() > EDGES[14] - 1e-9]
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in last]
    np.testing.assert_allclose(ends, [(EDGES[14], 29 / 30), (29 / 30, 1)])
    assert at_boundary.get_title() == "within 2 pixels\nof a boundary"
    assert len(at_boundary.get_lines()) == 1
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said == ["as the network says", "at temperature 1.80"]


def test_curves_are_told_apart_in_grey(drawn):
    figure = drawn(temperature=1.8, bins=BINS, boundary={"reach": 2, "bins": BINS})
    before, after = figure.axes[0].get_lines()[1:]
    assert before.get_linestyle() != after.get_linestyle()
    assert before.get_marker() != after.get_marker()
    assert figure.get_figwidth() == SINGLE
    grey = [np.dot(to_rgb(line.get_color()), (0.299, 0.587, 0.114)) for line in (before, after)]
    assert abs(grey[0] - grey[1]) > 0.05
    assert len({bar.get_hatch() for bar in figure.axes[2].patches}) == 2


def test_without_a_temperature_there_is_one_curve(drawn):
    bins = BINS | {"after": None}
    figure = drawn(temperature=None, bins=bins, boundary={"reach": 2, "bins": bins})
    assert len(figure.axes[0].get_lines()) == 2
    assert [bar.get_width() for bar in figure.axes[2].patches] == pytest.approx([1 / 15] * 2)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["as the network says"]


def test_bins_of_hardly_any_pixels_are_left_out():
    assert reliability.filled([0, 1, 999]) == [1, 2]
    assert reliability.filled([0, 1, 1000]) == [2]
    assert reliability.filled([0, 0]) == []
