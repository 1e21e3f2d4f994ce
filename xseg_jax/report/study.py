"""What a study shows: its table, and one figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from xseg_jax.files import write_text
from xseg_jax.report.figures import FONT, WIDTH_INCHES, save_figure

WRITTEN = ("study.csv", "study.md", "study.png", "study.json")
Frame = Any
"""A pandas DataFrame; its columns have no types."""

U_NET = "#0072B2"  # Wong, as the others.
COLOURS = {"forest": "#009E73", "thresholding": "#E69F00"}
FITTED = {
    "forest": "The forest is a random forest on multi-scale filters, docs/forest.md.",
    "thresholding": "Thresholding is multi-Otsu fitted on the training slices.",
}
LOG_FROM = 20.0  # An axis whose values span this factor is logarithmic.


@dataclass(frozen=True)
class Compared:
    """The variants of a study by one score.

    Attributes:
      score: a column of the table of runs.
      label: in words.
      lower_is_better: as of an error, a share that is printed as percent.
      units: that differences are over beside seeds, as "4 blocks of z".
      baselines: that have columns in both tables, each named after it.
      summary: a row a variant.
    """

    score: str
    label: str
    lower_is_better: bool
    units: str
    baselines: Sequence[str]
    summary: Frame

    def number(self, value: float, sign: str = "") -> str:
        """A score, or with sign="+" a difference of two."""
        return f"{value:{sign}.2%}" if self.lower_is_better else f"{value:{sign}.4f}"


def write(
    folder: Path,
    question: str,
    compared: Sequence[Compared],
    runs: Frame,
    axis: str,
    note: str = "",
) -> None:
    """Writes study.csv, study.md and a figure a score, and prints the tables.

    Args:
      folder: of the study.
      question: that it answers.
      compared: by each score.
      runs: a row a run.
      axis: column of `runs` to draw scores over, where it is numeric; "" for none.
      note: that stands below the question, in the figure too: what the study must not be taken for.
    """
    table_file, text_file = WRITTEN[:2]
    text, pictures = f"# {question}\n", pictures_of(compared)
    asked = f"{question}\n{note}" if note else question
    if note:
        text += f"\n**{note}**\n"
    print(asked)
    for one, picture in zip(compared, pictures, strict=True):
        table = markdown(one)
        text += f"\n{table}\n\n{footnote(one, runs)}\n\n![]({picture})\n"
        draw(folder / picture, asked, one, runs, axis)
        print(f"\n{table}")
    for name, content in ((table_file, runs.to_csv(index=False)), (text_file, text)):
        write_text(folder / name, content, "the study")


def to_json(
    question: str, compared: Sequence[Compared], runs: Frame, axis: str, note: str = ""
) -> dict[str, Any]:
    """What `study.json` holds, which the page is made of; arguments as `write`.

    Folders of runs are as they lie beside it, and "page" says whether one has a report.html.
    """
    rows = _records(runs)
    for row in rows:
        folder = Path(row["folder"])
        row |= {"folder": "/".join(folder.parts[-2:]), "page": (folder / "report.html").exists()}
    return {
        "question": question,
        "note": note,
        "axis": axis,
        "scores": [
            {
                "score": one.score,
                "label": one.label,
                "lower_is_better": one.lower_is_better,
                "baselines": list(one.baselines),
                "note": footnote(one, runs),
                "variants": _records(one.summary),
            }
            for one in compared
        ],
        "runs": rows,
    }


def _records(table: Frame) -> list[dict[str, Any]]:
    """Rows with None where there is no number, for JSON has none."""
    return [
        {key: None if isinstance(v, float) and not np.isfinite(v) else v for key, v in row.items()}
        for row in table.to_dict("records")
    ]


def pictures_of(compared: Sequence[Compared]) -> list[str]:
    """The file of each figure: study.png, and by further scores study_2.png and so on."""
    stem, suffix = WRITTEN[2].split(".")
    return [f"{stem}{f'_{n}' if n > 1 else ''}.{suffix}" for n in range(1, len(compared) + 1)]


def markdown(compared: Compared) -> str:
    """The table of variants, and a row for each baseline."""
    summary, number = compared.summary, compared.number
    rows = [
        [
            "variant",
            "runs",
            compared.label,
            "difference to the base",
            "p",
            "parameters",
            "minutes",
            "verdict",
        ]
    ]
    for row in summary.to_dict("records"):
        differs = np.isfinite(row["difference"])
        spread = f" ± {number(row['std'])}" if np.isfinite(row["std"]) else ""
        mean = number(row["mean"]) if np.isfinite(row["mean"]) else "not defined"
        ends = f"[{number(row['low'], '+')}, {number(row['high'], '+')}]"
        rows.append([
            row["variant"],
            str(row["runs"]),
            f"{mean}{spread}" if row["runs"] else "",
            f"{number(row['difference'], '+')} {ends}" if differs else "",
            f"{row['p']:.3f}" if differs else "",
            f"{row['parameters']:,.0f}" if row["runs"] else "",
            f"{row['seconds'] / 60:.1f}" if row["runs"] else "",
            row["verdict"],
        ])  # fmt: skip
    for name in compared.baselines:
        mean = summary[name].dropna()
        if len(mean):
            low, high = number(mean.min()), number(mean.max())
            rows.append([name, "", low if low == high else f"{low} to {high}", *[""] * 5])
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def footnote(compared: Compared, runs: Frame) -> str:
    """How the numbers were made."""
    fitted = "".join(f" {FITTED[name]}" for name in compared.baselines)
    what = (
        f"absolute relative {compared.label}, of the whole test volume,"
        if compared.lower_is_better
        else f"{compared.label} of whole test slices"
    )
    return (
        f"Mean and standard deviation of the {what} over {runs['seed'].nunique()} seeds. "
        f"Differences: 95% interval over seeds and {compared.units}, corrected for the number of "
        f"variants (Holm); how: docs/ablations.md. Minutes: mean time of a run on the clock, from "
        "reading its data to its last score, beside whatever ran at the same time."
        f"{fitted}"
    )


def draw(path: Path, question: str, compared: Compared, runs: Frame, axis: str) -> None:
    """Draws scores over a numeric field, or beside each other with their differences."""
    numeric = axis in runs and pd.api.types.is_numeric_dtype(runs[axis])
    if numeric and not pd.api.types.is_bool_dtype(runs[axis]) and runs[axis].nunique() > 2:
        figure = Figure(figsize=(0.7 * WIDTH_INCHES, 4.2), layout="constrained")
        _curve(figure.subplots(), compared, runs, axis)
    else:
        height = 1.7 + 0.38 * len(compared.summary)
        figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
        _bars(figure, compared, runs)
    figure.suptitle(question, fontsize=FONT)
    save_figure(figure, path)


def _curve(axes: Axes, compared: Compared, runs: Frame, axis: str) -> None:
    score, baselines = compared.score, compared.baselines
    beside = [(f"{name}_{score}", name, COLOURS[name]) for name in baselines]
    for column, name, colour in ((score, "U-Net", U_NET), *beside):
        if runs[column].notna().any():
            groups = runs.groupby(axis)[column]
            mean, std = groups.mean(), groups.std().fillna(0.0)
            axes.plot(mean.index, mean, "-o", color=colour, label=name, markersize=5)
            axes.fill_between(mean.index, mean - std, mean + std, color=colour, alpha=0.2, lw=0)
            axes.plot(runs[axis], runs[column], ".", color=colour, markersize=4, alpha=0.6)
    values = runs[axis]
    if values.min() > 0 and values.max() / values.min() >= LOG_FROM:
        axes.set_xscale("log")
        axes.set_xticks(sorted(values.unique()), [f"{v:g}" for v in sorted(values.unique())])
        axes.minorticks_off()
    axes.set_xlabel(axis.rpartition(".")[2].replace("_", " "), fontsize=FONT)
    axes.set_ylabel(compared.label, fontsize=FONT)
    if compared.lower_is_better:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_ylim(bottom=0)
    _tidy(axes)
    axes.legend(frameon=False, fontsize=FONT)


def _bars(figure: Figure, compared: Compared, runs: Frame) -> None:
    score, baselines, summary = compared.score, compared.baselines, compared.summary
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
    # Bars that do not start at 0 would make differences look large.
    left.set_xlim(0, None if compared.lower_is_better else 1)
    for name in baselines:
        mean = runs[f"{name}_{score}"].mean()
        if np.isfinite(mean):
            left.axvline(mean, color=COLOURS[name], linestyle="--", label=name)
    if left.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=FONT)
    left.set_xlabel(f"{compared.label}: seeds, mean, standard deviation", fontsize=FONT)

    known = np.isfinite(summary["low"]) & np.isfinite(summary["high"])
    found = summary[known]
    centre = found["difference"]
    ends = np.stack([centre - found["low"], found["high"] - centre])
    right.errorbar(centre, places[known], xerr=ends, fmt="o", color="0.2", capsize=3, markersize=5)
    right.axvline(0, color="0.5", linewidth=1)
    right.locator_params(axis="x", nbins=5)  # Numbers with many digits stand apart.
    right.set_xlabel("difference to the base: 95% interval", fontsize=FONT)
    for axes in (left, right):
        if compared.lower_is_better:
            axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        _tidy(axes)


def _tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=FONT)
    axes.spines[["top", "right"]].set_visible(False)
