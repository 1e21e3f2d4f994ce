"""What a study shows: its table, and one figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xseg_jax.files import write_text
from xseg_jax.report.paper import PNG, files_of
from xseg_jax.report.study_figure import draw

LABELS = {
    "miou": "mean IoU", "f1": "macro F1", "accuracy": "pixel accuracy",
    "precision": "macro precision", "recall": "macro recall",
}  # fmt: skip
TABLE, TEXT, FIGURE = "study.csv", "study.md", Path("study.png")
POSSIBLE = (TABLE, TEXT, *(file.name for file in files_of(FIGURE)))
"""What a study writes, in whatever formats."""
Frame = Any
"""A pandas DataFrame; its columns have no types."""

FITTED = {
    "forest": "The forest is a random forest on multi-scale filters, docs/forest.md.",
    "thresholding": "Thresholding is multi-Otsu fitted on the training slices.",
}


def write(
    folder: Path,
    question: str,
    score: str,
    blocks: int,
    baselines: Sequence[str],
    runs: Frame,
    summary: Frame,
    axis: str,
    formats: Sequence[str] = PNG,
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
      formats: that the figure is written in.
    """
    table = markdown(summary, LABELS[score], baselines)
    pictures = [file.name for file in files_of(FIGURE, formats)]
    # A PDF is no picture of Markdown.
    shown = next((f"![]({name})" for name in pictures if not name.endswith(".pdf")), None)
    shown = shown or f"[{pictures[0]}]({pictures[0]})"
    text = f"# {question}\n\n{table}\n\n{footnote(runs, score, blocks, baselines)}\n\n{shown}\n"
    for name, content in ((TABLE, runs.to_csv(index=False)), (TEXT, text)):
        write_text(folder / name, content, "the study")
    draw(folder / FIGURE, question, score, LABELS[score], baselines, runs, summary, axis, formats)
    print(f"{question}\n\n{table}\n\n{folder}: {', '.join((TABLE, TEXT, *pictures))}")


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
        f"of z, corrected for the number of variants (Holm); how: docs/ablations.md.{fitted}"
    )
