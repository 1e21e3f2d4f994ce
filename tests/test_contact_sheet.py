"""A scan at a glance: every class has the colour of the legend, whatever is under it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from xseg_jax.colours import PALETTE, class_rgb
from xseg_jax.report import contact_sheet as drawing
from xseg_jax.report.contact_sheet import FEW, SHADE, Panel, contact_sheet, shaded
from xseg_jax.report.figures import IGNORED, grey
from xseg_jax.report.paper import DOUBLE, DPI

DEUTERANOPIA = np.array([
    [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881],
])  # fmt: skip
"""Of linear light (Machado, Oliveira and Fernandes 2009, IEEE TVCG 15, 1291-1298)."""


def as_seen(rgb_N3):
    """Colours as the colour-blind see them."""
    unit = np.asarray(rgb_N3, float) / 255
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    seen = (linear @ DEUTERANOPIA.T).clip(0, 1)
    return 255 * np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)


def nearest(rgb_N3, classes):
    """The class of the legend that each colour is nearest to."""
    legend_K3 = np.array([class_rgb(k) for k in range(classes)], float)
    return ((np.asarray(rgb_N3, float)[:, None] - legend_K3) ** 2).sum(-1).argmin(1)


@settings(deadline=None)
@given(
    classes=st.integers(1, len(PALETTE)),
    seed=st.integers(0, 9),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
)
def test_each_pixel_has_the_colour_of_its_class_whatever_its_grey_value(classes, seed, dtype):
    rng = np.random.default_rng(seed)
    image_HW = rng.integers(0, 256, (24, 24)).astype(dtype)
    label_HW = rng.integers(0, classes, (24, 24)).astype(np.uint8)
    rgb_N3 = shaded(image_HW, label_HW, classes).reshape(-1, 3)
    np.testing.assert_array_equal(nearest(rgb_N3, classes), label_HW.ravel())


def test_and_for_the_colour_blind_and_in_grey():
    for classes in (FEW, len(PALETTE)):
        legend_K3 = np.array([class_rgb(k) for k in range(classes)], float)
        for change in (-1, -0.5, 0, 0.5, 1):
            shown_K3 = (legend_K3 + SHADE[classes <= FEW] * change).clip(0, 255)
            far_KK = ((as_seen(shown_K3)[:, None] - as_seen(legend_K3)) ** 2).sum(-1)
            assert far_KK.argmin(1).tolist() == list(range(classes))
    lightness = sorted(float(np.dot(class_rgb(k), (0.299, 0.587, 0.114))) for k in range(FEW))
    assert min(np.diff(lightness)) > 28


def test_what_is_not_usual_in_a_class_shows_as_light_and_shade():
    image_HW = np.full((20, 20), 100.0)
    image_HW[:, 10:] = 200
    label_HW = np.zeros((20, 20), np.uint8)
    label_HW[:, 8:] = 1  # Two columns beside what it means.
    rgb_HW3 = shaded(image_HW, label_HW, 2).astype(int)
    assert (rgb_HW3[:, :8] == class_rgb(0)).all()
    assert (rgb_HW3[:, 8:10] - class_rgb(1) == -SHADE[True]).all()
    assert (rgb_HW3[:, 10:] - class_rgb(1) == SHADE[True]).all()


def test_what_is_not_labelled_is_the_grey_image():
    image_HW = np.arange(400.0).reshape(20, 20)
    label_HW = np.full((20, 20), IGNORED, np.uint8)
    label_HW[:5] = 1
    rgb_HW3 = shaded(image_HW, label_HW, 2)
    np.testing.assert_array_equal(rgb_HW3[5:], grey(image_HW)[5:])
    assert (np.ptp(rgb_HW3[:5].astype(int), axis=-1) > 50).all()


def test_the_sheet_has_a_title_and_says_what_is_not_labelled(tmp_path, monkeypatch):
    said = []

    def save(figure, path, formats):
        texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
        said.append((figure.get_suptitle(), texts, [ax.get_title() for ax in figure.axes]))

    monkeypatch.setattr(drawing, "save_figure", save)
    image_HW = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    label_HW = np.zeros((64, 64), np.uint8)
    for _ in range(2):
        panels = [Panel("z3", image_HW, label_HW.copy()), Panel("z4", image_HW)]
        contact_sheet(tmp_path / "a.png", panels, ("a", "b"), title="1 of 2 labelled planes")
        label_HW[:3] = IGNORED
    titles = ["z3", "z3, labelled", "z4", ""]
    assert said[0] == ("1 of 2 labelled planes", ["a", "b"], titles)
    assert said[1] == ("1 of 2 labelled planes", ["a", "b", "not labelled"], titles)


def test_it_is_written_in_the_formats_that_are_asked_for(tmp_path):
    image_HW = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    contact_sheet(tmp_path / "b.png", [Panel("z", image_HW, None, 0.5, "um")], (), ("png", "pdf"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.pdf", "b.png"]
    with Image.open(tmp_path / "b.png") as sheet:
        assert sheet.width == DOUBLE * DPI
    with pytest.raises(ValueError, match="needs a plane"):
        contact_sheet(tmp_path / "no.png", [], ())
