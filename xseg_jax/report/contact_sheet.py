"""A scan at a glance: planes, and the same planes with their labels over them, in one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from xseg_jax.report.figures import IGNORED, LABELLED, colourise, grey
from xseg_jax.report.paper import DOUBLE, PNG, SMALL, brief, save_figure, scale_bar

COLUMNS = 4
PANEL_PIXELS = 540
"""A panel is about 540 dots wide."""
OPACITY = 0.45


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
) -> None:
    """Writes a figure: each plane, and beside it the labelled one with its classes in colour.

    Args:
      path: of the PNG.
      panels: one or more.
      class_names: by class index; () where nothing is labelled.
      formats: that it is written in.

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
            rgb_hw3 = _overlay(image_hw, label_hw, class_names)
            drawn.append((f"{panel.title}, {LABELLED}", rgb_hw3, panel, step))
    rows = -(-len(drawn) // COLUMNS)
    heights = []
    for row in range(rows):
        shapes = [rgb.shape for _, rgb, _, _ in drawn[row * COLUMNS : (row + 1) * COLUMNS]]
        heights.append(min(max(max(shape[0] / shape[1] for shape in shapes), 0.3), 1.5))
    width = (DOUBLE - 0.25) / COLUMNS
    figure = Figure(
        figsize=(DOUBLE, width * sum(heights) + 0.2 * rows + 0.25), layout="constrained"
    )
    grid = figure.subplots(rows, COLUMNS, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.set_axis_off()
    for axes, (title, rgb_HW3, panel, step) in zip(grid.flat, drawn, strict=False):
        axes.imshow(rgb_HW3, interpolation="nearest")
        axes.set_title(brief(title, 30), fontsize=SMALL)
        if panel.pixel_size is not None:
            scale_bar(axes, panel.pixel_size * step, panel.unit)
    if class_names:
        colours_K13 = colourise(
            np.arange(len(class_names), dtype=np.uint8)[:, None], len(class_names)
        )
        figure.legend(
            [Patch(color="#" + rgb.tobytes().hex(), lw=0) for rgb in colours_K13[:, 0]],
            [brief(name, 24) for name in class_names],
            loc="outside lower center",
            ncols=min(len(class_names), 6),
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


def _overlay(image_hw: np.ndarray, label_hw: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """The grey image with the colour of each class over it; what is not labelled stays grey."""
    rgb_hw3 = grey(image_hw).astype(np.float32)
    colour_hw3 = colourise(label_hw, len(class_names))
    labelled_hw1 = (label_hw != IGNORED)[..., None]
    mixed_hw3 = np.where(labelled_hw1, (1 - OPACITY) * rgb_hw3 + OPACITY * colour_hw3, rgb_hw3)
    return np.rint(mixed_hw3).astype(np.uint8)
