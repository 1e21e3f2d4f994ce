"""The picture of a confusion matrix."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from xseg_jax.report.paper import DOUBLE, FONT, PNG, SINGLE, SMALL, brief, save_figure


def confusion(
    path: Path,
    confusion_KK: np.ndarray,
    class_names: Sequence[str],
    formats: Sequence[str] = PNG,
) -> None:
    """Draw pixel counts confusion_KK (rows labelled, columns predicted), K = 2 to 12.

    A cell says which fraction of its labelled class went there and how many pixels that is. The
    row of a class without a labelled pixel has no fraction and is left grey. Few classes take one
    column of a paper, more take two.
    """
    classes = len(class_names)
    if confusion_KK.shape != (classes, classes):
        raise ValueError(f"confusion has shape {confusion_KK.shape} for {classes} class names")
    truth_K1 = confusion_KK.sum(axis=1, keepdims=True)
    fraction_KK = np.full(confusion_KK.shape, np.nan)
    np.divide(confusion_KK, truth_K1, out=fraction_KK, where=truth_K1 > 0)

    names = [brief(name, 24) for name in class_names]
    longest = max(map(len, names))
    width = SINGLE if classes <= 4 else DOUBLE
    # Inches; beside the cells stand the names, and the bar with its numbers.
    cells = min(0.55 * classes + 0.3, width - 1.25 - 0.062 * longest)
    # Names lie side by side while they fit under their cells, and slant once they would touch.
    slanted = 0.068 * longest > cells / classes
    below = 0.4 + (0.045 * longest if slanted else 0.0)
    figure = Figure(figsize=(width, cells + below), layout="constrained")
    axes = figure.add_subplot()
    colours = colormaps["Blues"].with_extremes(bad="0.9")
    image = axes.imshow(fraction_KK, cmap=colours, vmin=0, vmax=1)
    for (row, column), fraction in np.ndenumerate(fraction_KK):
        share = "-" if np.isnan(fraction) else f"{fraction:.3f}"
        axes.text(
            *(column, row, f"{share}\n{compact(int(confusion_KK[row, column]))}"),
            color="white" if fraction > 0.55 else "black",
            fontsize=SMALL,
            ha="center",
            va="center",
        )
    slant = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(range(classes), names, fontsize=SMALL, **slant)
    axes.set_yticks(range(classes), names, fontsize=SMALL)
    axes.set_xlabel("predicted", fontsize=FONT)
    axes.set_ylabel("labelled", fontsize=FONT)
    axes.tick_params(length=0)
    bar = figure.colorbar(image, ax=axes, fraction=0.1, pad=0.03, aspect=20)
    bar.set_label("fraction of the labelled class", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    save_figure(figure, path, formats)


def compact(count: int) -> str:
    """Write a count in at most three digits: 999, 12.3k, 1.2M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= 0.9995 * size:  # From here on three digits round up to the next unit.
            return f"{count / size:.3g}{unit}"
    return str(count)
