"""What a study shows: its table, and one figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xseg_jax.files import write_text
from xseg_jax.report.numbers import FEWEST, FEWEST_SEEDS
from xseg_jax.report.paper import PNG, files_of
from xseg_jax.report.study_figure import Compared, draw

TABLE, TEXT, JSON, FIGURE = "study.csv", "study.md", "study.json", Path("study.png")
POSSIBLE = (TABLE, TEXT, JSON, *(file.name for file in files_of(FIGURE)))
"""What a study writes of one score, in whatever formats."""
Frame = Any
"""A pandas DataFrame; its columns have no types."""

FITTED = {
    "forest": "The forest is a random forest on multi-scale filters, docs/forest.md.",
    "thresholding": "Thresholding is multi-Otsu fitted on the training slices.",
}


def write(
    folder: Path,
    question: str,
    compared: Sequence[Compared],
    runs: Frame,
    axis: str,
    note: str = "",
    formats: Sequence[str] = PNG,
) -> None:
    """Writes study.csv, study.md and a figure a score, and prints the tables.

    Args:
      folder: of the study.
      question: that it answers.
      compared: by each score.
      runs: a row a run.
      axis: column of `runs` to draw scores over, where it is numeric; "" for none.
      note: that stands below the question, in the figure too: what the study must not be taken for.
      formats: that figures are written in.
    """
    text = f"# {question}\n"
    asked = f"{question}\n{note}" if note else question
    if note:
        text += f"\n**{note}**\n"
    print(asked)
    for one, picture in zip(compared, pictures_of(compared), strict=True):
        table = markdown(one)
        text += f"\n{table}\n\n{footnote(one, runs)}\n\n{shown(picture, formats)}\n"
        draw(folder / picture, asked, one, runs, axis, formats)
        print(f"\n{table}")
    for name, content in ((TABLE, runs.to_csv(index=False)), (TEXT, text)):
        write_text(folder / name, content, "the study")


def shown(picture: Path, formats: Sequence[str]) -> str:
    """A figure in Markdown, of which a PDF is no picture."""
    names = [file.name for file in files_of(picture, formats)]
    found = next((f"![]({name})" for name in names if not name.endswith(".pdf")), None)
    return found or f"[{names[0]}]({names[0]})"


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


def pictures_of(compared: Sequence[Compared]) -> list[Path]:
    """The PNG of each figure: study.png, and by further scores study_2.png and so on."""
    names = (f"{FIGURE.stem}_{n}" if n > 1 else FIGURE.stem for n in range(1, len(compared) + 1))
    return [FIGURE.with_stem(name) for name in names]


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
        known = np.isfinite(row["low"]) and np.isfinite(row["high"])
        ends = f" [{number(row['low'], '+')}, {number(row['high'], '+')}]" if known else ""
        rows.append([
            row["variant"],
            str(row["runs"]),
            f"{mean}{spread}" if row["runs"] else "",
            f"{number(row['difference'], '+')}{ends}" if differs else "",
            f"{row['p']:.3f}" if differs and np.isfinite(row["p"]) else "",
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
    seeds = runs["seed"].nunique()
    shown = np.isfinite(compared.summary["low"].astype(float)).any()
    differences = (
        f"Differences: 95% interval over seeds and {compared.units}, corrected for the number of "
        "variants (Holm); how: docs/ablations.md."
        if shown
        else f"Differences have no interval, which needs {FEWEST_SEEDS} seeds or {FEWEST} blocks, "
        f"and here are {seeds} seeds and {compared.units}."
    )
    return (
        f"Mean and standard deviation of the {what} over {seeds} seeds. {differences} Minutes: "
        "mean time of a run on the clock, from reading its data to its last score, beside whatever "
        "ran at the same time."
        f"{fitted}"
    )
