"""What a comparison of runs shows: a table, comma-separated values, a figure."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xseg_jax.files import write_text
from xseg_jax.report.leaks import noun
from xseg_jax.report.numbers import FEWEST, FEWEST_SEEDS, count
from xseg_jax.report.paper import DOUBLE, FONT, LINES, PNG, SMALL, files_of, save_figure, tidy

JSON, CSV, PICTURE = WRITTEN = ("compared.json", "compared.csv", "compared.png")
POSSIBLE = (JSON, CSV, *(file.name for file in files_of(Path(PICTURE))))
"""What a comparison writes, in whatever formats."""
LABELS = {
    "miou": "mean IoU", "accuracy": "pixel accuracy", "surface_dice": "surface Dice", "iou": "IoU",
}  # fmt: skip
LONGEST = 28

Row = Mapping[str, Any]


def write(
    folder: Path,
    facts: Mapping[str, Any],
    found: Mapping[str, Sequence[Row]],
    formats: Sequence[str] = PNG,
) -> None:
    """Writes `compared.csv` and `compared.png`, and prints the table.

    Args:
      folder: that they are written to.
      facts: of the comparison, as `compared.json` holds them.
      found: its scores and pairs.
      formats: that the figure is written in.
    """
    write_text(folder / CSV, comma_separated(found["pairs"]), "the comparison")
    draw(folder / PICTURE, facts, found, formats)
    print(table(facts, found["pairs"]))


def table(facts: Mapping[str, Any], pairs: Sequence[Row]) -> str:
    """A block for each two sides, with a line a score; what the numbers mean below."""
    lines = [f"{count(facts['slices'], noun(facts))}, {facts['pixels']:,} pixels, scored by all"]
    width = max(len(label(row)) for row in pairs) + 2
    for base, variant in dict.fromkeys((row["base"], row["variant"]) for row in pairs):
        lines += ["", f"{variant} minus {base}"]
        lines.append(
            f"{'':<{width}}{brief(base, 11):>12}{brief(variant, 11):>12}{'difference':>12}"
            f"{'95% interval':>22}{'p':>8}  verdict"
        )
        for row in pairs:
            if (row["base"], row["variant"]) == (base, variant):
                ends = f"{_signed(row['low'])} to {_signed(row['high'])}"
                lines.append(
                    f"{label(row):<{width}}{_cell(row['base_value']):>12}{_cell(row['value']):>12}"
                    f"{_signed(row['difference']):>12}"
                    f"{ends if row['low'] is not None else '-':>22}"
                    f"{_chance(row['p']):>8}  {row['verdict']}"
                )
    return "\n".join([*lines, "", footnote(facts), *facts["notes"]])


def footnote(facts: Mapping[str, Any]) -> str:
    """How the numbers were made, a line each."""
    over = f"{facts['units']} {facts['unit']}" if facts["units"] > 1 else f"one {noun(facts)}"
    if not has_intervals(facts):
        runs = "one run" if facts["seeds"] == 1 else count(facts["seeds"], "run")
        needed = f"{FEWEST} parts, or {FEWEST_SEEDS} runs"
        return f"{over} and {runs} of each: no interval is known without {needed}"
    seeds = f"{facts['seeds']} seeds and " if facts["seeds"] > 1 else ""
    lines = [f"intervals: 95% over {seeds}{over}, corrected for the number of pairs (Holm)"]
    if facts["seeds"] < 2:
        lines.append("one run of each: another seed may differ by more")
    if facts["tolerance"] is not None:
        lines.append(f"surface Dice: boundaries within {facts['tolerance']:g} pixels")
    return "\n".join(lines)


def has_intervals(facts: Mapping[str, Any]) -> bool:
    """Whether there are blocks or seeds enough for intervals of what is in all of them."""
    return facts["units"] >= FEWEST or facts["seeds"] >= FEWEST_SEEDS


def comma_separated(pairs: Sequence[Row]) -> str:
    """The rows of pairs with their columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(pairs[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(pairs)
    return text.getvalue()


def draw(
    path: Path,
    facts: Mapping[str, Any],
    found: Mapping[str, Sequence[Row]],
    formats: Sequence[str] = PNG,
) -> None:
    """Draws the scores of every side and the differences of every two, with their intervals.

    Args:
      path: of the PNG.
      facts: of the comparison.
      found: its scores and pairs.
      formats: that it is written in.

    Raises:
      SaveError: the disk is full, or failed.
    """
    names = list(dict.fromkeys(label(row) for row in found["pairs"]))
    couples = list(dict.fromkeys((row["base"], row["variant"]) for row in found["pairs"]))
    sides = list(facts["of"])
    rows = max(len(sides), len(couples))
    tall = 0.6 + 0.14 * rows + 0.12 * len(names) * (1 + rows)
    figure = Figure(figsize=(DOUBLE, tall), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    of_side = [[row for row in found["scores"] if row["side"] == side] for side in sides]
    of_pair = [
        [row for row in found["pairs"] if (row["base"], row["variant"]) == pair] for pair in couples
    ]
    _panel(left, names, of_side, [brief(side, LONGEST) for side in sides], "value", None)
    said = [f"{brief(b, LONGEST // 2)} minus {brief(a, LONGEST // 2)}" for a, b in couples]
    _panel(right, names, of_pair, said, "difference", "0.3")
    right.axvline(0, color="0.5", linewidth=1)
    left.set_yticks(range(len(names)), names[::-1])
    known = has_intervals(facts)
    over = f"95% over {facts['units']} {facts['unit']}" if known else "no interval"
    left.set_xlabel(f"score ({over})", fontsize=FONT)
    corrected = ", interval corrected for their number" * (known and len(couples) > 1)
    right.set_xlabel(f"difference{corrected}", fontsize=FONT)
    save_figure(figure, path, formats)


def _panel(
    axes: Axes,
    names: Sequence[str],
    groups: Sequence[Sequence[Row]],
    titles: Sequence[str],
    key: str,
    grey: str | None,
) -> None:
    """A point with its interval for each score of each group, groups below each other."""
    step = 0.7 / len(groups)
    for place, (rows, title) in enumerate(zip(groups, titles, strict=True)):
        colour, _, marker = LINES[place % len(LINES)]
        if grey is not None and len(groups) == 1:
            colour = grey
        known = [row for row in rows if row[key] is not None]
        y = [
            len(names) - 1 - names.index(label(row)) + 0.35 - step * (place + 0.5) for row in known
        ]
        x = [row[key] for row in known]
        axes.plot(x, y, marker, color=colour, markersize=3.5, label=title)
        for row, height in zip(known, y, strict=True):
            if row["low"] is not None:
                axes.plot([row["low"], row["high"]], [height] * 2, "|-", color=colour, lw=1)
    axes.locator_params(axis="x", nbins=5)
    tidy(axes)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=SMALL)


def label(row: Row) -> str:
    """A score in words."""
    said = LABELS[row["score"]]
    return said if row["class"] is None else f"{said} of {row['class']}"


def brief(text: str, most: int) -> str:
    """The end of a name that is too long: what tells folders apart stands there."""
    return text if len(text) <= most else f"…{text[1 - most :]}"


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _chance(p: float | None) -> str:
    if p is None:
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"
