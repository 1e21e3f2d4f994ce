"""Figures as papers take them: widths of columns, type, lines, scale bars, file formats.

Every figure is a plain matplotlib `Figure` (no pyplot, no global state) of the width of one or of
two columns, whose smallest type is 7 points at that width.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

from xseg_jax.files import make_folder, one_line, replacing

SINGLE, DOUBLE = 3.5, 7.2
"""Widths of one and of two columns, inches."""
DPI = 300
FONT, SMALL = 8, 7
"""Points: headings and names of axes; numbers and legends."""

FORMATS = ("png", "svg", "pdf")
"""What a figure can be written as."""
PNG = FORMATS[:1]
_METADATA = {
    # No date and no version of the software: the same arrays give the same bytes.
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_SAVED: dict[Any, Any] = {
    # Letters stay letters, which programs can search and change; ids are not drawn by chance.
    "svg.fonttype": "none", "svg.hashsalt": "xseg_jax", "pdf.fonttype": 42,
    "image.composite_image": False,
}  # fmt: skip

# Colour (Wong, Nature Methods 8:441, 2011), line and marker: told apart in grey too.
LINES = (
    ("#0072B2", "-", "o"), ("#D55E00", "--", "s"), ("#009E73", ":", "^"), ("#CC79A7", "-.", "D"),
    ("#E69F00", (0, (5, 1, 1, 1, 1, 1)), "v"), ("#56B4E9", (0, (1, 2)), "P"),
)  # fmt: skip
METHODS = ("U-Net", "forest", "thresholding")
"""What has the same line wherever it stands, beside whatever."""

_SIGNS = {"um": "µm", "angstrom": "Å"}
_LARGER = {"nm": "um", "um": "mm"}
_BAR = 0.3
"""Most of a panel's width that a scale bar takes."""


def line_of(method: str, place: int) -> tuple[str, object, str]:
    """Colour, line and marker of a method; by its place where it is none of `METHODS`."""
    known = METHODS.index(method) if method in METHODS else place
    return LINES[known % len(LINES)]


def unit_sign(unit: str) -> str:
    """A unit of length as it is printed."""
    return _SIGNS.get(unit, unit)


def round_length(most: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above `most`, which is positive.

    The page's viewer does the same.
    """
    power = 10.0 ** math.floor(math.log10(most))
    # A ten-thousandth, as 0.3 / 0.1 is less than 3.
    length = max(step for step in (1, 2, 5) if step == 1 or step * power <= most * 1.0001) * power
    return float(f"{length:.1g}")


def scale_bar(axes: Axes, pixel_size: float, unit: str) -> float:
    """Puts a bar of a round length into the lower left corner of an image.

    Args:
      axes: that show an image; a unit along x is a pixel.
      pixel_size: along x, in `unit`.
      unit: of length, as voxel sizes have it.

    Returns:
      The bar's length in pixels.
    """
    left, right = axes.get_xlim()
    length = round_length(_BAR * (right - left) * pixel_size)
    pixels = length / pixel_size
    if length >= 1000 and unit in _LARGER:
        length, unit = length / 1000, _LARGER[unit]
    bar = AnchoredSizeBar(
        axes.transData, pixels, f"{length:g} {unit_sign(unit)}", "lower left",
        pad=0.25, borderpad=0.4, sep=2, color="white", label_top=True,
        fontproperties={"size": SMALL},
        size_vertical=0.012 * (right - left),  # pyright: ignore[reportArgumentType] - a float too
    )  # fmt: skip
    bar.patch.set(facecolor="black", edgecolor="none", alpha=0.65)
    axes.add_artist(bar)
    return pixels


def tidy(axes: Axes) -> None:
    """Numbers in small type, and no frame where no numbers stand."""
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)


def brief(text: str, most: int = 60) -> str:
    """Cut the middle out of a long name; a dollar stays a dollar and starts no formula.

    Bytes of a name that are no UTF-8 are shown by their codes: no font has them.
    """
    text = one_line(text)
    if len(text) > most:
        text = f"{text[: most // 2 - 1]}…{text[-(most // 2) :]}"
    return text.replace("$", r"\$")


def files_of(path: Path, formats: Sequence[str] = FORMATS) -> Iterator[Path]:
    """Where a figure is written: `path` with the suffix of each format."""
    return (path.with_suffix(f".{form}") for form in formats)


def save_figure(figure: Figure, path: Path, formats: Sequence[str] = PNG) -> None:
    """Writes a figure in each format, each file whole or not at all.

    In SVG and PDF text is text, and an image is embedded with the pixels that it has.

    Args:
      figure: to be written.
      path: of the PNG; the others have their own suffix.
      formats: some of `FORMATS`.

    Raises:
      SaveError: the disk is full, or failed.
    """
    make_folder(path.parent, "figures")
    images = [image for image in figure.findobj(AxesImage) if isinstance(image, AxesImage)]
    drawn = [(image, image.get_interpolation()) for image in images]
    for form, place in zip(formats, files_of(path, formats), strict=True):
        for image, interpolation in drawn:
            image.set_interpolation(interpolation if form == "png" else "none")
        with rc_context(_SAVED), replacing(place, "this figure") as draft:
            figure.savefig(draft, format=form, dpi=DPI, metadata=_METADATA[form])
