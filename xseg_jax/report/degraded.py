"""How scores fall as a scan becomes worse: a table, a file of comma-separated values, a figure."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xseg_jax.files import write_text
from xseg_jax.report import numbers
from xseg_jax.report.paper import DOUBLE, FONT, PNG, SMALL, line_of, save_figure, tidy

SCORES = {"accuracy": "pixel accuracy", "miou": "mean IoU"}
COLUMNS = 4
LOWER = "<"
"""Marks a row in which the first method is below another."""


def is_lower(scores: Mapping[str, Mapping[str, float]]) -> bool:
    """Whether the first method is below the best of the others, in any score."""
    first, *others = scores.values()
    return any(first[key] < max((other[key] for other in others), default=0) for key in SCORES)


def degraded_table(found: Mapping[str, Any]) -> str:
    """A line for each degradation and strength, with accuracy and mean IoU of every method.

    Args:
      found: as `degraded.json` holds it: planes, clean, and rows of degradation, unit, strength and
        scores.
    """
    methods = list(found["clean"])
    lines = [
        f"{numbers.count(found['planes'], 'plane')}, made worse",
        "",
        " " * 32 + "".join(f"{method:>20}" for method in methods),
        f"{'degradation':<15}{'strength':<17}"
        + "".join(f"{'accuracy':>11}{'mIoU':>9}" * len(methods)),
    ]
    rows = [("none", "", found["clean"])]
    rows += [
        (row["degradation"], f"{row['strength']:g} {row['unit']}", row["scores"])
        for row in found["rows"]
    ]
    before = None
    for name, strength, scores in rows:
        cells = "".join(f"{one['accuracy']:>11.4f}{one['miou']:>9.4f}" for one in scores.values())
        mark = f" {LOWER}" if is_lower(scores) else ""
        lines.append(f"{name if name != before else '':<15}{strength:<17}{cells}{mark}")
        before = name
    if len(methods) > 1:
        count = sum(is_lower(scores) for _, _, scores in rows)
        lines += [
            "",
            f"{LOWER} {methods[0]} below the best of the others: {count} of {len(rows)} rows",
        ]
    return "\n".join(lines)


def write_csv(path: Path, found: Mapping[str, Any]) -> None:
    """Writes a line for each degradation, strength and method; the first are of no degradation.

    Raises:
      SaveError: the disk is full, or failed.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("degradation", "unit", "strength", "method", *SCORES))
    clean = {"degradation": "none", "unit": "", "strength": "", "scores": found["clean"]}
    for row in (clean, *found["rows"]):
        for method, scores in row["scores"].items():
            writer.writerow(
                (row["degradation"], row["unit"], row["strength"], method,
                 *(scores[key] for key in SCORES))
            )  # fmt: skip
    write_text(path, text.getvalue(), "this table")


def draw(path: Path, found: Mapping[str, Any], formats: Sequence[str] = PNG) -> None:
    """Draws every score over strength, a panel for each degradation.

    A dotted line stands where the scan is as it is.

    Raises:
      SaveError: the disk is full, or failed.
    """
    panels: dict[str, list[Any]] = {}
    for row in found["rows"]:
        panels.setdefault(row["degradation"], []).append(row)
    columns = min(COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(DOUBLE, 2 * (1.4 * lines + 0.2) + 0.25), layout="constrained")
    parts = figure.subfigures(len(SCORES), 1, squeeze=False)[:, 0]
    for part, (key, title) in zip(parts, SCORES.items(), strict=True):
        grid = part.subplots(lines, columns, squeeze=False, sharey=True).ravel()
        part.suptitle(title, fontsize=FONT, fontweight="bold")
        for axes, (name, rows) in zip(grid, panels.items(), strict=False):
            _panel(axes, name, rows, found["clean"], key)
        for axes in grid[len(panels) :]:
            axes.remove()
    handles, names = parts[0].axes[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=SMALL
    )
    save_figure(figure, path, formats)


def _panel(axes: Axes, name: str, rows: Sequence[Any], clean: Mapping[str, Any], key: str) -> None:
    at = rows[0]["clean"]
    points = sorted(
        [(at, clean), *((row["strength"], row["scores"]) for row in rows)], key=lambda p: p[0]
    )
    for number, method in enumerate(clean):
        colour, line, marker = line_of(method, number)
        axes.plot(
            [strength for strength, _ in points], [scores[method][key] for _, scores in points],
            color=colour, linestyle=line, marker=marker, markersize=3, linewidth=1,
            label=method,
        )  # fmt: skip
    axes.axvline(at, color="0.6", linestyle=":", linewidth=0.8, zorder=0)
    axes.set_title(name.replace("_", " "), fontsize=SMALL)
    axes.set_xlabel(rows[0]["unit"], fontsize=SMALL, labelpad=1)
    axes.locator_params(axis="x", nbins=5)
    tidy(axes)
    axes.grid(color="0.9", linewidth=0.6)
