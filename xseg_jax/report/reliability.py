"""The picture of how often probabilities are right: accuracy over confidence."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from xseg_jax.report.paper import FONT, LINES, PNG, SINGLE, SMALL, save_figure, tidy

LEAST_SHARE = 1e-3
"""Of the pixels: the accuracy of bins with fewer is chance, and is not drawn."""
# Line and the bars' hatching: told apart in grey too.
CURVES = {"before": (LINES[0], ""), "after": (LINES[1], "////////")}


def draw(path: Path, calibration: Mapping[str, Any], formats: Sequence[str] = PNG) -> None:
    """Draws reliability curves and the shares of bins, of all pixels and of those at boundaries.

    Where probabilities are what they say, the curve is the diagonal; below it the network is too
    sure. Bins with less than 0.1% of the pixels are left out.

    Args:
      path: of the PNG.
      calibration: as `results.json` holds it.
      formats: that it is written in.

    Raises:
      SaveError: the disk is full, or failed.
    """
    boundary = calibration["boundary"]
    parts = {
        "all pixels": calibration,
        f"within {boundary['reach']} pixels\nof a boundary": boundary,
    }
    figure = Figure(figsize=(SINGLE, 3.1), layout="constrained")
    grid = figure.subplots(
        2, len(parts), sharex=True, sharey="row", gridspec_kw={"height_ratios": (3, 1)}
    )
    for (curve, shares), (title, part) in zip(grid.T, parts.items(), strict=True):
        curve.set_title(title, fontsize=SMALL)
        _panel(curve, shares, part["bins"], calibration["temperature"])
    grid[0, 0].set_ylabel("accuracy", fontsize=FONT)
    grid[1, 0].set_ylabel("pixels", fontsize=FONT)
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=SMALL
    )
    save_figure(figure, path, formats)


def filled(pixels: Sequence[int]) -> list[int]:
    """Which bins have so many of the pixels that their accuracy says something."""
    return [n for n, count in enumerate(pixels) if count and count >= LEAST_SHARE * sum(pixels)]


def _panel(curve: Axes, shares: Axes, bins: Mapping[str, Any], temperature: float | None) -> None:
    names = {"before": "as the network says"}
    if temperature is not None:
        names["after"] = f"at temperature {temperature:.2f}"
    width = bins["edges"][1] / len(names)
    curve.plot((0, 1), (0, 1), color="0.6", linestyle=":", linewidth=1.0, zorder=0)
    for place, (key, name) in enumerate(names.items()):
        (colour, line, marker), hatch = CURVES[key]
        pixels = bins[key]["pixels"]
        known = filled(pixels)
        if not known:
            continue  # Labels may have no boundary.
        curve.plot(
            [bins[key]["confidence"][n] for n in known], [bins[key]["accuracy"][n] for n in known],
            color=colour, linestyle=line, marker=marker, markersize=3, linewidth=1, label=name,
            clip_on=False,
        )  # fmt: skip
        shares.bar(
            [bins["edges"][n] + place * width for n in known],
            [pixels[n] / sum(pixels) for n in known], width, align="edge",
            facecolor=colour, edgecolor="white", hatch=hatch, linewidth=0.5,
        )  # fmt: skip
    curve.set(xlim=(0, 1), ylim=(0, 1))
    shares.set_xlabel("confidence", fontsize=FONT)
    shares.set(yscale="log", ylim=(1e-3, 1), yticks=(1e-3, 1e-2, 1e-1, 1))  # Most are sure.
    shares.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    for axes in (curve, shares):
        axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
        tidy(axes)
