"""The figure of a study: scores over a field, or beside each other with their differences."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from xseg_jax.report.paper import (
    DOUBLE,
    FONT,
    PNG,
    SINGLE,
    SMALL,
    brief,
    line_of,
    save_figure,
    tidy,
)

NETWORK = "U-Net"
LOG_FROM = 20.0
"""An axis whose values span this factor is logarithmic."""
APART = 2.0
"""Lines stand in axes apart where the gap between them is so many times what the widest spans."""
WIDEN = 2.0
"""An axis is widened to hold a baseline up to this factor; else an arrow says where it is."""
ROW = 0.27
"""Height of a variant, inches."""

COUNTS: Mapping[str, tuple[str, str, str]] = {
    "train_slices": ("all labelled slices", "1 labelled slice", "labelled slices"),
    "photons": ("no photons", "1 photon", "photons"),
    "projections": ("no projections", "1 projection", "projections"),
    "epochs": ("no epochs", "1 epoch", "epochs"),
    "batch_size": ("no crops in a batch", "1 crop in a batch", "crops in a batch"),
    "context": ("one slice alone", "1 slice on each side", "slices on each side"),
}
"""Fields that count something: what 0 means, 1, and more of it. Others are called as they are."""

Frame = Any
"""A pandas DataFrame; its columns have no types."""
Span = tuple[float, float]


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


def people(variant: str) -> str:
    """A variant's name as people say it: "train_slices=1" is "1 labelled slice"."""
    return ", ".join(map(_said, variant.split(", ")))


def _said(part: str) -> str:
    found = re.fullmatch(r"(\w+)=(.*)", part)
    if not found:
        return part.replace("_", " ")
    field, value = found.groups()
    if field not in COUNTS:
        return f"{field} {value}".replace("_", " ")
    none, one, several = COUNTS[field]
    number = value.removesuffix(".0")
    return {"0": none, "1": one}.get(number, f"{number} {several}")


def field_name(field: str) -> str:
    """What an axis over a dotted field is called."""
    last = field.rpartition(".")[2]
    return COUNTS[last][-1] if last in COUNTS else last.replace("_", " ")


def apart(spans: Mapping[str, Span]) -> list[list[str]]:
    """Names of lines that share axes, the highest first.

    Args:
      spans: from where to where each line reaches.
    """
    widest = max(end - start for start, end in spans.values())
    groups: list[list[str]] = []
    high = 0.0
    for name, (start, end) in sorted(spans.items(), key=lambda item: item[1]):
        if groups and start - high <= APART * widest:
            groups[-1].append(name)
            high = max(high, end)
        else:
            groups.append([name])
            high = end
    return groups[::-1]


def draw(
    path: Path,
    question: str,
    compared: Compared,
    runs: Frame,
    axis: str,
    formats: Sequence[str] = PNG,
) -> None:
    """Draws scores over a numeric field, or beside each other with their differences.

    Args:
      path: of the PNG.
      question: that the study answers.
      compared: the variants by one score; each baseline has a column in `runs`, as "forest_miou".
      runs: a row a run.
      axis: column of `runs` to draw over, where it is numeric; "" for none.
      formats: that it is written in.

    Raises:
      SaveError: the disk is full, or failed.
    """
    score = compared.score
    numeric = axis in runs and pd.api.types.is_numeric_dtype(runs[axis])
    beside = {
        name: runs[f"{name}_{score}"]
        for name in compared.baselines
        if runs[f"{name}_{score}"].notna().any()
    }
    if numeric and not pd.api.types.is_bool_dtype(runs[axis]) and runs[axis].nunique() > 2:
        title = _wrapped(question, 56)
        figure = Figure(figsize=(SINGLE, 2.5 + 0.13 * title.count("\n")), layout="constrained")
        columns = {NETWORK: runs[score]} if runs[score].notna().any() else {}
        _curves(figure, compared, columns | beside, runs[axis])
        figure.supxlabel(field_name(axis), fontsize=FONT)
    else:
        title = _wrapped(question, 116)
        height = 0.85 + ROW * (len(compared.summary) + len(beside)) + 0.13 * title.count("\n")
        figure = Figure(figsize=(DOUBLE, height), layout="constrained")
        means = {name: float(column.mean()) for name, column in beside.items()}
        _dots(figure, compared, means, runs)
    figure.suptitle(title, fontsize=FONT)
    save_figure(figure, path, formats)


def _curves(figure: Figure, compared: Compared, columns: Mapping[str, Any], values: Any) -> None:
    """Means and standard deviations of columns over values, and every run as a point."""
    if not columns:
        figure.text(0.5, 0.5, f"{compared.label}: not defined", fontsize=SMALL, ha="center")
        return
    groups = {name: column.dropna().groupby(values) for name, column in columns.items()}
    means = {name: (group.mean(), group.std().fillna(0.0)) for name, group in groups.items()}
    spans = {name: (min(mean - std), max(mean + std)) for name, (mean, std) in means.items()}
    panels = apart(spans)
    limits = [_around([end for name in names for end in spans[name]]) for names in panels]
    widest = max(high - low for low, high in limits)
    for number, (low, high) in enumerate(limits):
        # What hardly varies shall not look as if it did: a step is as high in all axes.
        more = max(0.0, 0.4 * widest - (high - low)) / 2
        limits[number] = low - more, high + more
    low, high = limits[0]
    limits[0] = low, high + 0.13 * sum(high - low for low, high in limits)  # For the legend.
    grid = figure.subplots(
        len(panels), 1, sharex=True, squeeze=False,
        gridspec_kw={"height_ratios": [high - low for low, high in limits]},
    )[:, 0]  # fmt: skip
    drawn = {}
    for axes, names, ends in zip(grid, panels, limits, strict=True):
        for place, name in enumerate(names):
            colour, line, marker = line_of(name, place)
            mean, std = means[name]
            axes.plot(values, columns[name], ".", color=colour, markersize=2, alpha=0.6)
            drawn[name] = axes.errorbar(
                mean.index, mean, yerr=std, color=colour, linestyle=line, marker=marker,
                markersize=3.5, linewidth=1, capsize=2.5, label=name,
            )  # fmt: skip
        axes.set_ylim(*ends)
        share = (ends[1] - ends[0]) / sum(high - low for low, high in limits)
        most, least = max(1, round(6 * share)), 2 if share > 0.3 else 1
        ticks = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], min_n_ticks=least)
        axes.yaxis.set_major_locator(ticks)
        if compared.lower_is_better:
            axes.yaxis.set_major_formatter(FuncFormatter(_percent))
        tidy(axes)
    if values.min() > 0 and values.max() / values.min() >= LOG_FROM:
        places = sorted(values.unique())
        grid[-1].set_xscale("log")
        grid[-1].set_xticks(places, [f"{place:g}" for place in places])
        grid[-1].minorticks_off()
    _break([*grid])
    figure.supylabel(compared.label, fontsize=FONT)
    grid[0].legend(
        [drawn[name] for name in columns], [*columns], loc="upper center", ncols=len(columns),
        frameon=False, fontsize=SMALL, borderaxespad=0.0, columnspacing=1.2, handlelength=2.6,
    )  # fmt: skip


def _break(grid: Sequence[Axes]) -> None:
    """Marks where an axis leaves values out, between one panel and the next."""
    mark = {"marker": [(-1, -0.5), (1, 0.5)], "markersize": 6, "linestyle": "none", "color": "k"}
    for above, below in pairwise(grid):
        above.spines["bottom"].set_visible(False)
        above.tick_params(bottom=False, which="both")
        for axes, end in ((above, 0), (below, 1)):
            axes.plot([0], [end], transform=axes.transAxes, mew=0.8, clip_on=False, **mark)


def _dots(figure: Figure, compared: Compared, beside: Mapping[str, float], runs: Frame) -> None:
    """A row a variant: its seeds, mean and deviation, and its difference to the base."""
    score, summary = compared.score, compared.summary
    left, right = figure.subplots(1, 2, sharey=True)
    names: list[str] = summary["variant"].tolist()
    places = np.arange(len(names) + len(beside))[::-1]
    colour, _, marker = line_of(NETWORK, 0)
    mean, std = summary["mean"], summary["std"].fillna(0.0)
    style = {"capsize": 3, "markersize": 4, "linewidth": 1, "linestyle": "none"}
    left.errorbar(mean, places[: len(names)], xerr=std, marker=marker, color=colour, **style)
    for place, name in zip(places, names, strict=False):
        seeds = runs.loc[runs["variant"] == name, score]
        # Below the mean, which would hide them and its bar be hidden by them.
        left.plot(seeds, np.full(len(seeds), place - 0.27), ".", color="0.35", markersize=3)
    low, high = _around([*(mean - std), *(mean + std), *runs[score]])
    room = WIDEN * (high - low)
    for place, (name, value) in zip(places[len(names) :], beside.items(), strict=True):
        if max(high, value) - min(low, value) <= room:
            low, high = min(low, value), max(high, value)
            line = line_of(name, 0)
            left.plot([value], [place], marker=line[2], color=line[0], markersize=4)
            continue
        below = value < low
        much = _percent(value) if compared.lower_is_better else f"{value:.3f}"
        left.text(
            0.02 if below else 0.98, place, f"← {much}" if below else f"{much} →",
            ha="left" if below else "right", va="center", transform=left.get_yaxis_transform(),
            fontsize=SMALL,
        )  # fmt: skip
    left.set_xlim(*_around([low, high]))
    said = [brief(people(name), 40) for name in names]
    left.set_yticks(places, [*said, *beside])
    left.set_ylim(-0.6, len(places) - 0.4)
    between = ": " if len(compared.label) < 30 else "\n"
    left.set_xlabel(f"{compared.label}{between}mean, standard deviation, each seed", fontsize=FONT)

    known = (np.isfinite(summary["low"]) & np.isfinite(summary["high"])).to_numpy()
    found = summary[known]
    centre = found["difference"]
    ends = np.stack([centre - found["low"], found["high"] - centre])
    right.errorbar(
        centre, places[: len(names)][known], xerr=ends, marker="o", color="0.2", **style
    )  # fmt: skip
    right.axvline(0, color="0.5", linewidth=0.8)
    right.set_xlabel("difference to the base: 95% interval", fontsize=FONT)
    right.tick_params(left=False)
    for axes in (left, right):
        axes.locator_params(axis="x", nbins=5)  # Numbers with many digits stand apart.
        if compared.lower_is_better:
            axes.xaxis.set_major_formatter(FuncFormatter(_percent))
        tidy(axes)
        if beside:
            axes.axhline(len(beside) - 0.5, color="0.8", linewidth=0.6)


def _percent(share: float, _: object = None) -> str:
    return f"{100 * share:.4g}%"


def _wrapped(text: str, letters: int) -> str:
    return "\n".join(textwrap.fill(line, letters) for line in text.splitlines())


def _around(values: Sequence[float]) -> Span:
    """Ends of an axis that shows all finite values, with some room at both; 0 to 1 of none."""
    finite = [value for value in values if np.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    room = max(0.08 * (high - low), 1e-3)
    return low - room, high + room
