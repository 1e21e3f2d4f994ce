"""The pictures of a run: arrays and names in, one PNG out.

Every figure is a plain matplotlib `Figure` (no pyplot, no global state), nine inches wide
in 10 point type, so that it still reads at 8 points in a two-column page of 7.2 inches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from xseg_jax.colours import Rgb, class_rgb
from xseg_jax.files import make_folder, one_line, replacing

IGNORED = 255
WIDTH_INCHES, DPI, FONT = 9.0, 200, 10
# A panel is 400 to 600 dots wide: more pixels than this cost time and are never seen.
DISPLAY_PIXELS = 1000

IGNORED_RGB = (221, 221, 221)  # Tol's colour for bad data

# Colour and opacity. Agreement is the fainter, so that the eye goes to the disagreement.
PREDICTED_ONLY = (230, 0, 20), 0.7
LABELLED_ONLY = (0, 60, 255), 0.7
BOTH = (160, 70, 230), 0.4
WRONG = (255, 90, 0), 1.0

# Split in the records -> label, colour (Wong) and marker of its curves.
SPLITS = {"train": ("training", "#0072B2", "o"), "validation": ("validation", "#D55E00", "s")}

COMPARED = ("raw image", "segmented", "labelled")

Legend = list[tuple[str, Rgb, float]]  # text, colour, opacity


@dataclass(frozen=True)
class Example:
    """A scored slice: image_HW in any real dtype, label_HW (255 = ignored) and prediction_HW uint8.

    Raises ValueError, with the slice's name, where the three differ in shape.
    """

    name: str
    image_HW: np.ndarray
    label_HW: np.ndarray
    prediction_HW: np.ndarray

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

    Red where only predicted, blue where only labelled, violet where both. Ignored pixels
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
) -> None:
    """Write the poster figure: one row per example (1 to 3), raw, segmented and labelled.

    Between the last two stands what another method makes of the same slices, under its name.
    """
    name, others = beside or ("", ())
    rows, classes = [], len(class_names)
    for place, example in enumerate(examples):
        thin, step = _thin(example)
        other = [_thin(one)[0].prediction_HW for one in others[place : place + 1]]
        masks = [colourise(m, classes) for m in (thin.prediction_HW, *other, thin.label_HW)]
        rows.append((brief(example.name, 84), step, [grey(thin.image_HW), *masks]))
    columns = ("raw image", "U-Net", name, "labelled") if name else COMPARED
    _panels(path, columns, rows, _class_legend(class_names, examples))


def collage(
    path: Path, examples: Sequence[Example], class_names: Sequence[str], overlay_class: int
) -> None:
    """Write one row per example (1 to 3): image, predicted mask, `overlay` of one class."""
    rows = []
    for example in examples:
        thin, step = _thin(example)
        mask_HW3 = colourise(thin.prediction_HW, len(class_names))
        tinted_HW3 = overlay(thin.image_HW, thin.prediction_HW, thin.label_HW, overlay_class)
        rows.append((brief(example.name, 84), step, [grey(thin.image_HW), mask_HW3, tinted_HW3]))
    name = class_names[overlay_class]
    tints: Legend = [
        (f"{name}: predicted only", *PREDICTED_ONLY),
        ("labelled only", *LABELLED_ONLY),
        ("both", *BOTH),
    ]
    columns = ("image", "predicted", f"overlay of {brief(name, 20)}")
    # No ignored entry: this figure shows no label mask, and the overlay leaves them grey.
    _panels(path, columns, rows, _class_legend(class_names, []), tints)


def errors(path: Path, examples: Sequence[Example], class_names: Sequence[str]) -> None:
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
        rows.append((title, step, [grey(thin.image_HW), *masks, marked_HW3]))
    columns = ("image", "labelled", "predicted", "wrong")
    _panels(path, columns, rows, [*_class_legend(class_names, examples), ("wrong", *WRONG)])


def history(
    path: Path, records: Sequence[Mapping[str, Any]], best_epoch: int | None = None
) -> None:
    """Draw loss and accuracy against epoch, and mean IoU beside the accuracy where recorded.

    A record is {"epoch", "split": "train" or "validation", "loss", "accuracy", maybe "miou"}.
    Where an epoch was run twice, after a resume, the later record counts.
    """
    figure = Figure(figsize=(WIDTH_INCHES, 3.8), layout="constrained")
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    curves = [("loss", loss_axes, "-", ""), ("accuracy", accuracy_axes, "-", "")]
    if any("miou" in record for record in records):
        curves.append(("miou", accuracy_axes, ":", " mean IoU"))
    for split, (label, colour, marker) in SPLITS.items():
        of_split = {r["epoch"]: r for r in records if r["split"] == split}
        for key, axes, line, suffix in curves:
            points = [(epoch, r[key]) for epoch, r in sorted(of_split.items()) if key in r]
            if points:
                (curve,) = axes.plot(*zip(*points, strict=True), line, color=colour, marker=marker)
                # Markers closer than this hide the line.
                curve.set(label=label + suffix, markersize=4.5, markevery=-(-len(points) // 25))
    for axes, name in ((loss_axes, "loss"), (accuracy_axes, "accuracy")):
        if best_epoch is not None:
            best = f"best epoch ({best_epoch})"
            axes.axvline(best_epoch, color="0.35", linestyle="--", linewidth=1, label=best)
        axes.set_xlabel("epoch", fontsize=FONT)
        axes.set_ylabel(name, fontsize=FONT)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.tick_params(labelsize=FONT)
        axes.spines[["top", "right"]].set_visible(False)
    if len(curves) == 3:
        accuracy_axes.set_ylabel("accuracy, mean IoU (dotted)", fontsize=FONT)
    # The accuracy panel has every line that the loss panel has, under the same names.
    handles, labels = accuracy_axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=FONT
    )
    save_figure(figure, path)


def _panels(
    path: Path,
    columns: Sequence[str],
    rows: Sequence[tuple[str, int, Sequence[np.ndarray]]],
    *legends: Legend,
) -> None:
    """Draw rows of (title, pixels per displayed pixel, rgb_HW3 per column), legends below.

    Titles and headings come as `brief`; each legend starts on a line of its own.
    """
    if not 1 <= len(rows) <= 3:
        raise ValueError(f"a figure has 1 to 3 examples, not {len(rows)}")
    # Each row as high as its image at full column width, within reason for thin strips.
    shapes = [panels[0].shape for _, _, panels in rows]
    heights = [min(max(shape[0] / shape[1], 0.3), 1.5) for shape in shapes]
    panel_width = (WIDTH_INCHES - 0.9) / len(columns)
    lines = _legend_lines(legends)
    height = panel_width * sum(heights) + 0.46 * len(rows) + 0.6 + 0.21 * len(lines)
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    grid = figure.subplots(
        len(rows), len(columns), squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for row, (title, step, panels) in enumerate(rows):
        for column, (axes, rgb_HW3) in enumerate(zip(grid[row], panels, strict=True)):
            h, w, _ = rgb_HW3.shape
            # Only the grey image, in front, is smoothed: a blend of two class colours may be
            # the colour of a third, and a lone wrong pixel would fade away.
            axes.imshow(
                rgb_HW3,
                extent=(-0.5, w * step - 0.5, h * step - 0.5, -0.5),
                interpolation="auto" if column == 0 else "nearest",
            )
            axes.set(xticks=[], yticks=[])
            # A title as long as a file name would widen its column, so an empty line keeps
            # the place and the name is written across it.
            axes.set_title("\n" + columns[column] if row == 0 else " ", fontsize=FONT)
        _scale(grid[row, 0])
        grid[row, 0].annotate(
            title,
            xy=(0, 1),
            xycoords="axes fraction",
            xytext=(0, FONT * (1.8 if row == 0 else 0.6)),
            textcoords="offset points",
            fontsize=FONT,
            fontweight="bold",
            annotation_clip=False,
        ).set_in_layout(False)
    grid[-1, 0].set_xlabel("pixel", fontsize=FONT)
    # matplotlib fills a legend column by column; these lines are to be read as lines.
    entries = [entry for column in zip(*lines, strict=True) for entry in column]
    figure.legend(
        [Patch(color="#" + bytes(rgb).hex(), alpha=alpha, lw=0) for _, rgb, alpha in entries],
        [brief(text) for text, _, _ in entries],
        loc="outside lower center",
        ncols=len(lines[0]),
        frameon=False,
        fontsize=FONT,
    )
    save_figure(figure, path)


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
        if sum(widths) <= 100:  # characters of this type; a patch and its gaps take six
            break
    return lines


def _scale(axes: Axes) -> None:
    """Number the pixels, but not at the far end, where the number would push the neighbour."""
    locator = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], integer=True)
    right, bottom = axes.get_xlim()[1], axes.get_ylim()[0]
    axes.set_xticks([x for x in locator.tick_values(0, right) if x < 0.94 * right])
    axes.set_yticks([y for y in locator.tick_values(0, bottom) if y < 0.94 * bottom])
    axes.tick_params(labelsize=FONT)
    axes.set_ylabel("pixel", fontsize=FONT)


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
    masks = [mask[cut][centre, centre] for mask in (example.label_HW, example.prediction_HW)]
    return Example(example.name, blocks_hswt.mean((1, 3), dtype=np.float32), *masks), step


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


def brief(text: str, most: int = 60) -> str:
    """Cut the middle out of a long name; a dollar stays a dollar and starts no formula.

    Bytes of a name that are no UTF-8 are shown by their codes: no font has them.
    """
    text = one_line(text)
    if len(text) > most:
        text = f"{text[: most // 2 - 1]}…{text[-(most // 2) :]}"
    return text.replace("$", r"\$")


def save_figure(figure: Figure, path: Path) -> None:
    """Write the PNG whole or not at all: a reader, or a crash, never meets half a file."""
    make_folder(path.parent, "figures")
    with replacing(path, "this figure") as draft:
        # No software version inside: the same arrays give the same bytes.
        figure.savefig(draft, format="png", dpi=DPI, metadata={"Software": None})
