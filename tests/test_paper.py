"""Figures in the formats, widths and lengths that papers take."""

import base64
import io
import math
import re
import subprocess
import sys

import numpy as np
import pytest
import test_degraded
import test_figures
import test_reliability
import test_study
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from xseg_jax.report import confusion, contact_sheet, degraded, figures, reliability, study_figure
from xseg_jax.report.contact_sheet import Panel
from xseg_jax.report.paper import (
    DOUBLE,
    DPI,
    FONT,
    FORMATS,
    METHODS,
    SINGLE,
    SMALL,
    files_of,
    line_of,
    round_length,
    save_figure,
    scale_bar,
)

IMAGE_HW3 = np.random.default_rng(0).integers(0, 256, (30, 41, 3), np.uint8)


def figure_of(interpolation="nearest"):
    figure = Figure(figsize=(DOUBLE, 2.0), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(IMAGE_HW3, interpolation=interpolation)
    axes.set_title("Zirconia µm")
    return figure


@given(st.floats(1e-6, 1e9))
def test_a_round_length_is_1_2_or_5_and_the_largest_that_fits(most):
    length = round_length(most)
    digit = length / 10 ** math.floor(math.log10(length) + 1e-9)
    assert min(abs(digit - one) for one in (1, 2, 5)) < 1e-6
    assert length <= most * 1.0002
    assert most < 2.5 * length * 1.0002


@pytest.mark.parametrize(
    ("pixel_size", "unit", "text", "pixels"),
    [
        (0.065, "um", "5 µm", 5 / 0.065),
        (20.0, "um", "2 mm", 100),
        (1.0, "angstrom", "100 Å", 100),
        (0.5, "mm", "50 mm", 100),
        (0.3, "nm", "20 nm", 20 / 0.3),
    ],
)
def test_a_scale_bar_is_as_long_as_it_says(pixel_size, unit, text, pixels):
    axes = Figure().add_subplot()
    axes.imshow(np.zeros((20, 400)), extent=(-0.5, 399.5, 19.5, -0.5))
    limits = axes.get_xlim()
    assert scale_bar(axes, pixel_size, unit) == pytest.approx(pixels)
    (bar,) = axes.artists
    assert bar.txt_label.get_text() == text
    assert axes.get_xlim() == limits


def test_a_figure_is_written_in_every_format_and_no_other(tmp_path):
    path = tmp_path / "figures" / "one.png"
    save_figure(figure_of(), path)
    assert [file.name for file in path.parent.iterdir()] == ["one.png"]
    with Image.open(path) as image:
        assert image.size == (DOUBLE * DPI, 2 * DPI)
    save_figure(figure_of(), path, FORMATS)
    assert sorted(path.parent.iterdir()) == sorted(files_of(path))
    assert path.with_suffix(".pdf").read_bytes()[:5] == b"%PDF-"


def test_text_stays_text_and_an_image_keeps_its_pixels(tmp_path):
    figure = figure_of("auto")
    save_figure(figure, tmp_path / "a.png", ("svg", "pdf", "png"))
    svg = (tmp_path / "a.svg").read_text()
    assert "Zirconia µm</text>" in svg
    (data,) = re.findall(r'"data:image/png;base64,([^"]+)"', svg)
    with Image.open(io.BytesIO(base64.b64decode(data))) as embedded:
        found_HW3 = np.asarray(embedded.convert("RGB"))
    # Upside down: a transformation turns it.
    same = [np.array_equal(found_HW3, one) for one in (IMAGE_HW3, IMAGE_HW3[::-1])]
    assert any(same)
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/Width 41" in pdf
    assert b"/Height 30" in pdf
    assert b"/CIDFontType2" in pdf
    assert b"/Type3" not in pdf
    # What is drawn after it is not changed by it.
    assert figure.axes[0].images[0].get_interpolation() == "auto"


AGAIN = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_paper import figure_of
from xseg_jax.report.paper import FORMATS, save_figure
save_figure(figure_of(), Path(sys.argv[2]), FORMATS)
"""


def test_the_same_figure_has_the_same_bytes_in_another_process(tmp_path):
    save_figure(figure_of(), tmp_path / "a.png", FORMATS)
    here = __file__.rpartition("/")[0]
    subprocess.run([sys.executable, "-c", AGAIN, here, tmp_path / "b.png"], check=True)
    for one, other in zip(files_of(tmp_path / "a.png"), files_of(tmp_path / "b.png"), strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert b"Date" not in one.read_bytes()


def test_a_method_has_one_line_wherever_it_stands():
    lines = [line_of(name, 0) for name in METHODS]
    assert len(set(lines)) == len(METHODS)
    assert [line_of(name, place) for place, name in enumerate(METHODS)] == lines
    assert line_of("another", 3) not in lines


DRAWS = {
    "history": (figures.history, *test_figures.DRAWS["history"][1:]),
    "comparison": (figures.comparison, *test_figures.DRAWS["comparison"][1:]),
    "collage": (figures.collage, *test_figures.DRAWS["collage"][1:]),
    "errors": (figures.errors, *test_figures.DRAWS["errors"][1:]),
    "confusion of 12": (confusion.confusion, *test_figures.DRAWS["confusion"][1:]),
    "confusion of 2": (confusion.confusion, np.eye(2, dtype=int), ["pore", "grain"]),
    "degraded": (degraded.draw, test_degraded.FOUND),
    "calibration": (
        reliability.draw,
        {"temperature": 1.8, "bins": test_reliability.BINS,
         "boundary": {"reach": 2, "bins": test_reliability.BINS}},
    ),
    "sheet": (contact_sheet.contact_sheet, [Panel("z", IMAGE_HW3[..., 0])], ("pore", "grain")),
    "study": (
        study_figure.draw, "Which?",
        test_study.compared(test_study.summary_of(test_study.runs_over([1, 3]))),
        test_study.runs_over([1, 3]), "",
    ),
    "curve": (
        study_figure.draw, "How many?",
        test_study.compared(test_study.summary_of(test_study.runs_over([1, 3, 9]))),
        test_study.runs_over([1, 3, 9]), "data.train_slices",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWS)
def test_every_figure_has_the_width_of_columns_and_type_that_can_be_read(monkeypatch, name):
    draw, *arguments = DRAWS[name]
    kept = []
    module = sys.modules[draw.__module__]
    monkeypatch.setattr(module, "save_figure", lambda figure, *rest: kept.append(figure))
    draw(None, *arguments)
    (figure,) = kept
    assert figure.get_figwidth() in (SINGLE, DOUBLE)
    figure.draw_without_rendering()
    sizes = {
        text.get_fontsize() for text in figure.findobj(Text)
        if isinstance(text, Text) and text.get_visible() and text.get_text().strip()
    }  # fmt: skip
    assert sizes <= {SMALL, FONT}
    assert min(SMALL, FONT) == 7
