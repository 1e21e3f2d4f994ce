"""A class has one colour, wherever it is shown."""

import numpy as np

from xseg_jax.colours import PALETTE, class_rgb
from xseg_jax.report.figures import colourise


def test_figures_show_a_class_in_its_colour():
    label_HW = np.arange(24, dtype=np.uint8)[None]
    shown = [tuple(rgb) for rgb in colourise(label_HW, 24)[0].tolist()]
    assert shown == [class_rgb(k) for k in range(24)]


def test_more_classes_than_colours_are_told_apart_by_darkness():
    colours = [class_rgb(k) for k in range(36)]
    assert len(set(colours)) == 36
    assert colours[:12] == list(PALETTE)
    assert all(sum(colours[k + 12]) < sum(colours[k]) for k in range(24))


def test_the_first_class_is_dark_and_not_black():
    # As the background of a volume it must be seen on a black canvas.
    red, green, blue = class_rgb(0)
    assert 30 < 0.299 * red + 0.587 * green + 0.114 * blue < 100
