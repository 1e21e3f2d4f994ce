"""A scan at a glance: planes, and the same planes with their labels over them, in one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from xseg_jax.colours import class_rgb
from xseg_jax.report.figures import IGNORED, LABELLED, grey
from xseg_jax.report.paper import DOUBLE, FONT, PNG, SMALL, brief, save_figure, scale_bar

COLUMNS = 4
PANEL_PIXELS = 540
"""A panel is about 540 dots wide."""
SHADE = {True: 32, False: 16}
"""Levels of 255 by which the image makes a class lighter and darker, for up to four classes and for
more: its colour stays nearer to its own of the legend than to another, for the colour-blind too."""
FEW, LEAST_RANGE = 4, 0.4
UNLABELLED = "not labelled", (128, 128, 128)


@dataclass(frozen=True)
class Panel:
    """A plane of the sheet.

    Attributes:
      title: above it.
      image_HW: grey values of any real type.
      label_HW: class indices, uint8, 255 where not labelled; None for a plane without labels.
      pixel_size: length of a pixel along x, in `unit`; None where it is not known.
      unit: of length, as voxel sizes have it.
    """

    title: str
    image_HW: np.ndarray
    label_HW: np.ndarray | None = None
    pixel_size: float | None = None
    unit: str = ""


def contact_sheet(
    path: Path,
    panels: Sequence[Panel],
    class_names: Sequence[str],
    formats: Sequence[str] = PNG,
    title: str = "",
) -> None:
    """Writes a figure: each plane, and beside it the labelled one with its classes in colour.

    Where nothing is labelled the second is grey as the first.

    Args:
      path: of the PNG.
      panels: one or more.
      class_names: by class index; () where nothing is labelled.
      formats: that it is written in.
      title: of the figure: which planes these are.

    Raises:
      ValueError: there is no panel.
    """
    if not panels:
        raise ValueError("a contact sheet needs a plane")
    drawn: list[tuple[str, np.ndarray, Panel, int]] = []
    for panel in panels:
        step = max(1, round(max(panel.image_HW.shape) / PANEL_PIXELS))
        image_hw = _blocks(panel.image_HW, step)
        drawn.append((panel.title, grey(image_hw), panel, step))
        if panel.label_HW is not None:
            label_hw = panel.label_HW[step // 2 :: step, step // 2 :: step]
            label_hw = label_hw[: image_hw.shape[0], : image_hw.shape[1]]
            rgb_hw3 = shaded(image_hw, label_hw, len(class_names))
            drawn.append((f"{panel.title}, {LABELLED}", rgb_hw3, panel, step))
    rows = -(-len(drawn) // COLUMNS)
    heights = []
    for row in range(rows):
        shapes = [rgb.shape for _, rgb, _, _ in drawn[row * COLUMNS : (row + 1) * COLUMNS]]
        heights.append(min(max(max(shape[0] / shape[1] for shape in shapes), 0.3), 1.5))
    width = (DOUBLE - 0.25) / COLUMNS
    figure = Figure(
        figsize=(DOUBLE, width * sum(heights) + 0.2 * rows + (0.45 if title else 0.25)),
        layout="constrained",
    )
    grid = figure.subplots(rows, COLUMNS, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.set_axis_off()
    for axes, (name, rgb_HW3, panel, step) in zip(grid.flat, drawn, strict=False):
        axes.imshow(rgb_HW3, interpolation="nearest")
        axes.set_title(brief(name, 30), fontsize=SMALL)
        if panel.pixel_size is not None:
            scale_bar(axes, panel.pixel_size * step, panel.unit)
    if title:
        figure.suptitle(brief(title, 110), fontsize=FONT)
    legend = [(name, class_rgb(k)) for k, name in enumerate(class_names)]
    labels = [panel.label_HW for panel in panels if panel.label_HW is not None]
    if any((label_HW == IGNORED).any() for label_HW in labels):
        legend.append(UNLABELLED)
    if legend:
        figure.legend(
            [Patch(color="#" + bytes(rgb).hex(), lw=0) for _, rgb in legend],
            [brief(name, 24) for name, _ in legend],
            loc="outside lower center",
            ncols=min(len(legend), 6),
            frameon=False,
            fontsize=SMALL,
        )
    save_figure(figure, path, formats)


def _blocks(image_HW: np.ndarray, step: int) -> np.ndarray:
    """Means of blocks of step x step pixels; a rest at the end is left out."""
    if step == 1:
        return image_HW
    h, w = image_HW.shape[0] // step, image_HW.shape[1] // step
    blocks_hswt = image_HW[: h * step, : w * step].reshape(h, step, w, step)
    return blocks_hswt.mean((1, 3), dtype=np.float32)


def shaded(image_hw: np.ndarray, label_hw: np.ndarray, classes: int) -> np.ndarray:
    """Classes in the colours of the legend, in which the image is light and shade: uint8 (h, w, 3).

    What is usual in a class has its colour, so that a label beside what it means shows as a stripe
    of light or shade along its border. What is not labelled is the grey image.

    Args:
      image_hw: grey values of any real type.
      label_hw: class indices, uint8, 255 where not labelled.
      classes: how many there are.
    """
    grey_hw3 = grey(image_hw).astype(np.float32)
    rgb_hw3 = grey_hw3.copy()
    for k in np.unique(label_hw[label_hw != IGNORED]).tolist():
        inside_hw = label_hw == k
        grey_N1 = grey_hw3[inside_hw][:, :1]
        low, high = np.percentile(grey_N1, (2, 98))
        # Of a class of one grey value noise is not made structure.
        half = max(high - low, LEAST_RANGE * 255) / 2
        shade_N1 = np.clip((grey_N1 - (low + high) / 2) / half, -1, 1)
        rgb_hw3[inside_hw] = np.add(class_rgb(k), SHADE[classes <= FEW] * shade_N1)
    return np.rint(rgb_hw3.clip(0, 255)).astype(np.uint8)
