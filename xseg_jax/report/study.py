"""What a study shows: its table, and one figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xseg_jax.files import write_text
from xseg_jax.report.figures import FONT, WIDTH_INCHES, save_figure

LABELS = {
    "miou": "mean IoU", "f1": "macro F1", "accuracy": "pixel accuracy",
    "precision": "macro precision", "recall": "macro recall",
}  # fmt: skip
WRITTEN = ("study.csv", "study.md", "study.png")
Frame = Any
"""A pandas DataFrame; its columns have no types."""

U_NET = "#0072B2"  # Wong, as the others.
COLOURS = {"forest": "#009E73", "thresholding": "#E69F00"}
FITTED = {
    "forest": "The forest is a random forest on multi-scale filters, docs/forest.md.",
    "thresholding": "Thresholding is multi-Otsu fitted on the training slices.",
}
LOG_FROM = 20.0  # An axis whose values span this factor is logarithmic.


def write(
    folder: Path,
    question: str,
    score: str,
    blocks: int,
    baselines: Sequence[str],
    runs: Frame,
    summary: Frame,
    axis: str,
    note: str = "",
) -> None:
    """Writes study.csv, study.md and study.png, and prints the table.

    Args:
      folder: of the study.
      question: that it answers.
      score: column that variants are compared by.
      blocks: of z that places are measured by.
      baselines: that have columns in both tables, each named after it.
      runs: a row a run.
      summary: a row a variant.
      axis: column of `runs` to draw scores over, where it is numeric; "" for none.
      note: that stands below the question, in the figure too: what the study must not be taken for.
    """
    table = markdown(summary, LABELS[score], baselines)
    parts = (
        f"# {question}", *([f"**{note}**"] if note else []), table,
        footnote(runs, score, blocks, baselines), "![](study.png)",
    )  # fmt: skip
    text = "\n\n".join(parts) + "\n"
    asked = f"{question}\n{note}" if note else question
    table_file, text_file, picture = WRITTEN
    for name, content in ((table_file, runs.to_csv(index=False)), (text_file, text)):
        write_text(folder / name, content, "the study")
    draw(folder / picture, asked, score, baselines, runs, summary, axis)
    print(f"{asked}\n\n{table}")


def markdown(summary: Frame, label: str, baselines: Sequence[str]) -> str:
    """The table of variants, and a row for each baseline."""
    rows = [
        [
            "variant",
            "runs",
            label,
            "difference to the base",
            "p",
            "parameters",
            "minutes",
            "verdict",
        ]
    ]
    for row in summary.to_dict("records"):
        differs = np.isfinite(row["difference"])
        spread = f" ± {row['std']:.4f}" if np.isfinite(row["std"]) else ""
        rows.append([
            row["variant"],
            str(row["runs"]),
            f"{row['mean']:.4f}{spread}" if row["runs"] else "",
            f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]" if differs else "",
            f"{row['p']:.3f}" if differs else "",
            f"{row['parameters']:,.0f}" if row["runs"] else "",
            f"{row['seconds'] / 60:.1f}" if row["runs"] else "",
            row["verdict"],
        ])  # fmt: skip
    for name in baselines:
        mean = summary[name].dropna()
        if len(mean):
            low, high = mean.min(), mean.max()
            text = f"{low:.4f}" if high - low < 5e-5 else f"{low:.4f} to {high:.4f}"
            rows.append([name, "", text, *[""] * 5])
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def footnote(runs: Frame, score: str, blocks: int, baselines: Sequence[str]) -> str:
    """How the numbers were made."""
    fitted = "".join(f" {FITTED[name]}" for name in baselines)
    return (
        f"Mean and standard deviation of the {LABELS[score]} of whole test slices over "
        f"{runs['seed'].nunique()} seeds. Differences: 95% interval over seeds and {blocks} blocks "
        f"of z, corrected for the number of variants (Holm); how: docs/ablations.md. Minutes: "
        "mean time of a run on the clock, from reading its data to its last score, beside whatever "
        f"ran at the same time.{fitted}"
    )


def draw(
    path: Path,
    question: str,
    score: str,
    baselines: Sequence[str],
    runs: Frame,
    summary: Frame,
    axis: str,
) -> None:
    """Draws scores over a numeric field, or beside each other with their differences."""
    numeric = axis in runs and pd.api.types.is_numeric_dtype(runs[axis])
    if numeric and not pd.api.types.is_bool_dtype(runs[axis]) and runs[axis].nunique() > 2:
        figure = Figure(figsize=(0.7 * WIDTH_INCHES, 4.2), layout="constrained")
        _curve(figure.subplots(), score, baselines, runs, axis)
    else:
        height = 1.7 + 0.38 * len(summary)
        figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
        _bars(figure, score, baselines, runs, summary)
    figure.suptitle(question, fontsize=FONT)
    save_figure(figure, path)


def _curve(axes: Axes, score: str, baselines: Sequence[str], runs: Frame, axis: str) -> None:
    beside = [(f"{name}_{score}", name, COLOURS[name]) for name in baselines]
    for column, label, colour in ((score, "U-Net", U_NET), *beside):
        if runs[column].notna().any():
            groups = runs.groupby(axis)[column]
            mean, std = groups.mean(), groups.std().fillna(0.0)
            axes.plot(mean.index, mean, "-o", color=colour, label=label, markersize=5)
            axes.fill_between(mean.index, mean - std, mean + std, color=colour, alpha=0.2, lw=0)
            axes.plot(runs[axis], runs[column], ".", color=colour, markersize=4, alpha=0.6)
    values = runs[axis]
    if values.min() > 0 and values.max() / values.min() >= LOG_FROM:
        axes.set_xscale("log")
        axes.set_xticks(sorted(values.unique()), [f"{v:g}" for v in sorted(values.unique())])
        axes.minorticks_off()
    axes.set_xlabel(axis.rpartition(".")[2].replace("_", " "), fontsize=FONT)
    axes.set_ylabel(LABELS[score], fontsize=FONT)
    _tidy(axes)
    axes.legend(frameon=False, fontsize=FONT)


def _bars(
    figure: Figure, score: str, baselines: Sequence[str], runs: Frame, summary: Frame
) -> None:
    left, right = figure.subplots(1, 2, sharey=True)
    names: list[Any] = summary["variant"].tolist()
    places = np.arange(len(names))[::-1]
    left.barh(places, summary["mean"], color=U_NET, alpha=0.35, height=0.6)
    left.errorbar(
        summary["mean"],
        places,
        xerr=summary["std"].fillna(0.0),
        fmt="none",
        ecolor=U_NET,
        capsize=3,
    )
    for place, name in zip(places, names, strict=True):
        dots = runs.loc[runs["variant"] == name, score]
        left.plot(dots, np.full(len(dots), place), "o", color=U_NET, markersize=4)
    left.set_yticks(places, names, fontsize=FONT)
    left.set_xlim(0, 1)  # Bars that do not start at 0 would make differences look large.
    for name in baselines:
        mean = runs[f"{name}_{score}"].mean()
        if np.isfinite(mean):
            left.axvline(mean, color=COLOURS[name], linestyle="--", label=name)
    if left.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=FONT)
    left.set_xlabel(f"{LABELS[score]}: seeds, mean, standard deviation", fontsize=FONT)

    known = np.isfinite(summary["low"]) & np.isfinite(summary["high"])
    found = summary[known]
    centre = found["difference"]
    ends = np.stack([centre - found["low"], found["high"] - centre])
    right.errorbar(centre, places[known], xerr=ends, fmt="o", color="0.2", capsize=3, markersize=5)
    right.axvline(0, color="0.5", linewidth=1)
    right.locator_params(axis="x", nbins=5)  # Numbers with many digits stand apart.
    right.set_xlabel("difference to the base: 95% interval", fontsize=FONT)
    for axes in (left, right):
        _tidy(axes)


def _tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=FONT)
    axes.spines[["top", "right"]].set_visible(False)
