"""The pictures of a run: arrays and names in, one figure out.

Columns stand in one order: image, labelled, predicted, then what is made of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from xseg_jax.colours import Rgb, class_rgb
from xseg_jax.report.paper import (
    DOUBLE,
    FONT,
    LINES,
    PNG,
    SMALL,
    brief,
    save_figure,
    scale_bar,
    tidy,
)

IGNORED = 255
# A panel is 500 to 700 dots wide: more pixels than this cost time and are never seen.
DISPLAY_PIXELS = 1000

IGNORED_RGB = (221, 221, 221)  # Tol's colour for bad data

# Colour and opacity. Disagreement hides the image, dark red and light blue, which are told apart
# in grey too and from dark and light classes; agreement is faint.
PREDICTED_ONLY = (190, 0, 20), 1.0
LABELLED_ONLY = (20, 140, 255), 1.0
BOTH = (160, 70, 230), 0.2
WRONG = (255, 90, 0), 1.0

IMAGE, LABELLED, PREDICTED = "image", "labelled", "predicted"
NETWORK = "U-Net"

# Split in the records -> its name, and which of the lines it has.
SPLITS = {"train": ("training", LINES[0]), "validation": ("validation", LINES[1])}
CURVES = {"loss": "loss", "accuracy": "accuracy", "miou": "mean IoU"}

Legend = list[tuple[str, Rgb, float]]  # text, colour, opacity


@dataclass(frozen=True)
class Example:
    """A scored slice.

    Attributes:
      name: of the slice.
      image_HW: in any real dtype.
      label_HW: uint8, 255 = ignored.
      prediction_HW: uint8.
      pixel_size: length of a pixel along x, in `unit`; None where it is not known.
      unit: of length, as voxel sizes have it.

    Raises ValueError, with the slice's name, where the three differ in shape.
    """

    name: str
    image_HW: np.ndarray
    label_HW: np.ndarray
    prediction_HW: np.ndarray
    pixel_size: float | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        shapes = self.image_HW.shape, self.label_HW.shape, self.prediction_HW.shape
        if len(set(shapes)) > 1 or len(shapes[0]) != 2:
            raise ValueError(f"{self.name}: image, label and prediction have shapes {shapes}")


def colourise(label_HW: np.ndarray, classes: int) -> np.ndarray:
    """Colour a mask: uint8 label_HW (255 = ignored) -> uint8 rgb_HW3.

    Class k has the same colour in every figure. The first twelve are safe for the colour-blind;
    beyond them the palette comes back darker. Raises ValueError for a value in no class.
    """
    known = np.append(np.arange(classes), IGNORED)
    if unknown := np.setdiff1d(label_HW, known).tolist():
        raise ValueError(f"mask values {unknown} are in no class; classes are 0 to {classes - 1}")
    table_V3 = np.zeros((256, 3), np.uint8)
    table_V3[:classes] = [class_rgb(k) for k in range(classes)]
    table_V3[IGNORED] = IGNORED_RGB
    return table_V3[label_HW]


def grey(image_HW: np.ndarray) -> np.ndarray:
    """Stretch image_HW from its 0.5 to its 99.5 percentile: uint8 rgb_HW3. NaN becomes black."""
    low, high = np.percentile(image_HW[np.isfinite(image_HW)], (0.5, 99.5))
    unit_HW = np.clip((image_HW - low) / ((high - low) or 1.0), 0, 1)
    grey_HW = np.rint(255 * np.nan_to_num(unit_HW)).astype(np.uint8)
    return np.repeat(grey_HW[..., None], 3, axis=2)


def wrong(label_HW: np.ndarray, prediction_HW: np.ndarray) -> np.ndarray:
    """Mark the pixels that were labelled and predicted otherwise: bool wrong_HW."""
    return (label_HW != IGNORED) & (label_HW != prediction_HW)


def overlay(
    image_HW: np.ndarray, prediction_HW: np.ndarray, label_HW: np.ndarray, overlay_class: int
) -> np.ndarray:
    """Tint one class on the grey image: uint8 rgb_HW3.

    Red where only predicted, blue where only labelled, faintly violet where both. Ignored pixels
    stay grey, whatever was predicted there: nobody knows what they are.
    """
    rgb_HW3 = grey(image_HW)
    predicted_HW = (prediction_HW == overlay_class) & (label_HW != IGNORED)
    labelled_HW = label_HW == overlay_class
    _tint(rgb_HW3, predicted_HW & ~labelled_HW, *PREDICTED_ONLY)
    _tint(rgb_HW3, labelled_HW & ~predicted_HW, *LABELLED_ONLY)
    _tint(rgb_HW3, predicted_HW & labelled_HW, *BOTH)
    return rgb_HW3


def comparison(
    path: Path,
    examples: Sequence[Example],
    class_names: Sequence[str],
    beside: tuple[str, Sequence[Example]] | None = None,
    formats: Sequence[str] = PNG,
) -> None:
    """Write the poster figure: one row per example (1 to 3), image, labelled and predicted.

    At the end stands what another method makes of the same slices, under its name.
    """
    name, others = beside or ("", ())
    rows, classes = [], len(class_names)
    for place, example in enumerate(examples):
        thin, step = _thin(example)
        other = [_thin(one)[0].prediction_HW for one in others[place : place + 1]]
        masks = [colourise(m, classes) for m in (thin.label_HW, thin.prediction_HW, *other)]
        rows.append(_Row(brief(example.name, 84), example, step, [grey(thin.image_HW), *masks]))
    columns = [IMAGE, LABELLED, PREDICTED]
    if name:
        columns[2:] = (f"{PREDICTED}: {method}" for method in (NETWORK, name))
    figure = _panels(columns, rows, _class_legend(class_names, examples))
    save_figure(figure, path, formats)


def collage(
    path: Path,
    examples: Sequence[Example],
    class_names: Sequence[str],
    overlay_class: int,
    formats: Sequence[str] = PNG,
) -> None:
    """Write one row per example (1 to 3): image, predicted mask, `overlay` of one class."""
    rows = []
    for example in examples:
        thin, step = _thin(example)
        mask_HW3 = colourise(thin.prediction_HW, len(class_names))
        tinted_HW3 = overlay(thin.image_HW, thin.prediction_HW, thin.label_HW, overlay_class)
        panels = [grey(thin.image_HW), mask_HW3, tinted_HW3]
        rows.append(_Row(brief(example.name, 84), example, step, panels))
    name = class_names[overlay_class]
    tints: Legend = [
        (f"{name}: {PREDICTED} only", *PREDICTED_ONLY),
        (f"{LABELLED} only", *LABELLED_ONLY),
        ("both", *BOTH),
    ]
    columns = (IMAGE, PREDICTED, f"overlay of {brief(name, 20)}")
    # No ignored entry: this figure shows no label mask, and the overlay leaves them grey.
    save_figure(_panels(columns, rows, _class_legend(class_names, []), tints), path, formats)


def errors(
    path: Path,
    examples: Sequence[Example],
    class_names: Sequence[str],
    formats: Sequence[str] = PNG,
) -> None:
    """Write one row per example (1 to 3, the worst ones): image, label, prediction, wrong pixels.

    The accuracy and the count in a row's title are those of the whole slice, at full size.
    """
    rows, classes = [], len(class_names)
    for example in examples:
        thin, step = _thin(example)
        marked_HW3 = grey(thin.image_HW)
        _tint(marked_HW3, wrong(thin.label_HW, thin.prediction_HW), *WRONG)
        masks = [colourise(mask, classes) for mask in (thin.label_HW, thin.prediction_HW)]
        title = f"{brief(example.name, 44)}: {_score(example)}"
        rows.append(_Row(title, example, step, [grey(thin.image_HW), *masks, marked_HW3]))
    legend = [*_class_legend(class_names, examples), ("wrong", *WRONG)]
    figure = _panels((IMAGE, LABELLED, PREDICTED, "wrong"), rows, legend)
    save_figure(figure, path, formats)


def history(
    path: Path,
    records: Sequence[Mapping[str, Any]],
    best_epoch: int | None = None,
    formats: Sequence[str] = PNG,
) -> None:
    """Draw loss, accuracy and, where recorded, mean IoU against epoch, in axes apart.

    A record is {"epoch", "split": "train" or "validation", "loss", "accuracy", maybe "miou"}.
    Where an epoch was run twice, after a resume, the later record counts.
    """
    keys = [key for key in CURVES if key != "miou" or any(key in record for record in records)]
    figure = Figure(figsize=(DOUBLE, 2.4), layout="constrained")
    (grid,) = figure.subplots(1, len(keys), squeeze=False)
    for key, axes in zip(keys, grid, strict=True):
        for split, (label, (colour, line, marker)) in SPLITS.items():
            of_split = {r["epoch"]: r for r in records if r["split"] == split}
            points = [(epoch, r[key]) for epoch, r in sorted(of_split.items()) if key in r]
            if points:
                (curve,) = axes.plot(*zip(*points, strict=True), color=colour, linestyle=line)
                # Markers closer than this hide the line.
                every = -(-len(points) // 25)
                curve.set(label=label, marker=marker, markersize=3.5, markevery=every, lw=1.2)
        if best_epoch is not None:
            best = f"best epoch ({best_epoch})"
            axes.axvline(best_epoch, color="0.35", linestyle=":", linewidth=1, label=best)
        axes.set_xlabel("epoch", fontsize=FONT)
        axes.set_ylabel(CURVES[key], fontsize=FONT)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        tidy(axes)
    # The panels of loss and accuracy have every line, under the same names.
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=SMALL
    )
    save_figure(figure, path, formats)


@dataclass(frozen=True)
class _Row:
    """A row of panels.

    Attributes:
      title: as `brief` gives it.
      example: that is shown.
      step: pixels of it for one that is displayed.
      panels: rgb_HW3 of each column.
    """

    title: str
    example: Example
    step: int
    panels: Sequence[np.ndarray]


def _panels(columns: Sequence[str], rows: Sequence[_Row], *legends: Legend) -> Figure:
    """Rows of panels under the names of their columns; each legend starts a line of its own."""
    if not 1 <= len(rows) <= 3:
        raise ValueError(f"a figure has 1 to 3 examples, not {len(rows)}")
    # Each row as high as its image at full column width, within reason for thin strips.
    shapes = [row.panels[0].shape for row in rows]
    heights = [min(max(shape[0] / shape[1], 0.3), 1.5) for shape in shapes]
    scaled = [row.example.pixel_size is not None for row in rows]
    # Numbers of pixels that stand below a row hold for those of equal size above it.
    numbered = [
        not known and (place + 1 == len(rows) or _extent(row) != _extent(rows[place + 1]))
        for place, (row, known) in enumerate(zip(rows, scaled, strict=True))
    ]
    panel_width = (DOUBLE - (0.1 if all(scaled) else 0.5)) / len(columns)
    lines = _legend_lines(legends)
    height = panel_width * sum(heights) + 0.22 * len(rows) + 0.16 * (sum(numbered) + len(lines))
    figure = Figure(figsize=(DOUBLE, height + 0.45), layout="constrained")
    grid = figure.subplots(
        len(rows), len(columns), squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for place, row in enumerate(rows):
        for column, (axes, rgb_HW3) in enumerate(zip(grid[place], row.panels, strict=True)):
            # Only the grey image, in front, is smoothed: a blend of two class colours may be
            # the colour of a third, and a lone wrong pixel would fade away.
            axes.imshow(
                rgb_HW3,
                extent=_extent(row),
                interpolation="auto" if column == 0 else "nearest",
            )
            axes.set(xticks=[], yticks=[])
            # A title as long as a file name would widen its column, so an empty line keeps
            # the place and the name is written across it.
            axes.set_title("\n\n" + columns[column] if place == 0 else " ", fontsize=FONT)
        first: Axes = grid[place, 0]
        if row.example.pixel_size is None:
            _number(first, below=numbered[place])
        else:
            scale_bar(first, row.example.pixel_size, row.example.unit)
        first.annotate(
            row.title,
            xy=(0, 1),
            xycoords="axes fraction",
            xytext=(0, FONT * (2.6 if place == 0 else 0.6)),
            textcoords="offset points",
            fontsize=FONT,
            fontweight="bold",
            annotation_clip=False,
        ).set_in_layout(False)
    if not scaled[-1]:
        grid[-1, 0].set_xlabel("pixel", fontsize=SMALL)
    # matplotlib fills a legend column by column; these lines are to be read as lines.
    entries = [entry for column in zip(*lines, strict=True) for entry in column]
    figure.legend(
        [_patch(*entry) for entry in entries],
        [brief(text) for text, _, _ in entries],
        loc="outside lower center",
        ncols=len(lines[0]),
        frameon=False,
        fontsize=SMALL,
    )
    return figure


def _legend_lines(legends: Sequence[Legend]) -> list[Legend]:
    """Break legends into lines of equally many entries, as many as fit the figure's width."""
    blank = ("", (255, 255, 255), 0.0)
    lines: list[Legend] = []
    for columns in range(max(map(len, legends)), 0, -1):
        lines = [
            (legend[i : i + columns] + [blank] * columns)[:columns]
            for legend in legends
            for i in range(0, len(legend), columns)
        ]
        widths = [6 + max(len(brief(text)) for text, _, _ in c) for c in zip(*lines, strict=True)]
        if sum(widths) <= 112:  # characters of this type; a patch and its gaps take six
            break
    return lines


def _extent(row: _Row) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of an image in pixels of the slice."""
    h, w, _ = row.panels[0].shape
    return -0.5, w * row.step - 0.5, h * row.step - 0.5, -0.5


def _patch(text: str, rgb: Rgb, opacity: float) -> Patch:
    """What stands before a name; with a frame, for a faint one is as white as the paper."""
    face = "#" + bytes(rgb).hex(), opacity
    return Patch(facecolor=face, edgecolor="0.6" if text else "none", linewidth=0.4)


def _number(axes: Axes, *, below: bool) -> None:
    """Number the pixels, but not at the far end, where the number would push the neighbour."""
    locator = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], integer=True)
    right, bottom = axes.get_xlim()[1], axes.get_ylim()[0]
    axes.set_xticks([x for x in locator.tick_values(0, right) if x < 0.94 * right])
    axes.set_yticks([y for y in locator.tick_values(0, bottom) if y < 0.94 * bottom])
    axes.tick_params(labelsize=SMALL, labelbottom=below)
    axes.set_ylabel("pixel", fontsize=SMALL)


def _thin(example: Example) -> tuple[Example, int]:
    """Shrink to about DISPLAY_PIXELS a side by a whole step: block means, nearest labels."""
    H, W = example.image_HW.shape
    step = max(1, round(max(H, W) / DISPLAY_PIXELS))
    if step == 1:
        return example, 1
    h, w = H // step, W // step
    cut = slice(h * step), slice(w * step)
    blocks_hswt = example.image_HW[cut].reshape(h, step, w, step)
    centre = slice(step // 2, None, step)
    label_hw, prediction_hw = (
        mask[cut][centre, centre] for mask in (example.label_HW, example.prediction_HW)
    )
    image_hw = blocks_hswt.mean((1, 3), dtype=np.float32)
    return replace(example, image_HW=image_hw, label_HW=label_hw, prediction_HW=prediction_hw), step


def _tint(rgb_HW3: np.ndarray, where_HW: np.ndarray, rgb: Rgb, opacity: float) -> None:
    """Mix a colour into the marked pixels, in place."""
    mixed = (1 - opacity) * rgb_HW3[where_HW] + opacity * np.array(rgb)
    rgb_HW3[where_HW] = np.rint(mixed).astype(np.uint8)


def _class_legend(class_names: Sequence[str], examples: Sequence[Example]) -> Legend:
    """List the classes, and the ignored pixels if a label has any."""
    legend: Legend = [(name, class_rgb(k), 1.0) for k, name in enumerate(class_names)]
    if any((example.label_HW == IGNORED).any() for example in examples):
        legend.append(("ignored", IGNORED_RGB, 1.0))
    return legend


def _score(example: Example) -> str:
    labelled = np.count_nonzero(example.label_HW != IGNORED)
    if not labelled:
        return "no labelled pixel"
    mistakes = np.count_nonzero(wrong(example.label_HW, example.prediction_HW))
    return f"pixel accuracy {1 - mistakes / labelled:.4f} ({mistakes:,} wrong)"
