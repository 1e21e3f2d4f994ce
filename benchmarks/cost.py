"""How time and memory grow with crop size, batch, channels and volume.

    python -m benchmarks.cost [--rounds=3]

Each point is a process of its own, which takes training steps or predicts a volume. Prints a
table, and draws it with the exponent that a power of the varied quantity would have.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator
from tqdm import tqdm

from benchmarks.timing import Contender, Run, print_table, save
from benchmarks.unet_jax import predictor, trainer
from xseg_jax.memory import huge_pages
from xseg_jax.report.paper import DOUBLE, FONT, LINES, SMALL, save_figure, tidy

CHANNELS = (1, 2, 4, 8)
"""Of the levels, in multiples of the first one's."""

TRAINING = {"batch_size": 16, "size": 128, "first": 16}
PREDICTION = {"slices": 4, "size": 501, "first": 16, "batch_size": 2}

CURVES: Sequence[tuple[str, Callable[..., Run], dict[str, int], str, Sequence[int]]] = (
    ("training step: crop size", trainer, TRAINING, "size", (64, 96, 128, 192, 256)),
    ("training step: crops in a batch", trainer, TRAINING, "batch_size", (4, 8, 16, 32)),
    ("training step: channels of the first level", trainer, TRAINING, "first", (8, 16, 32, 64)),
    ("prediction: slices", predictor, PREDICTION, "slices", (2, 4, 8, 16)),
    ("prediction: size of a slice", predictor, PREDICTION, "size", (256, 501, 1000, 2000)),
)
"""What is drawn, what does the work, its base, the field that varies, and its values."""


def main() -> None:
    """Prints a table, draws it, and saves both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="times that each point is timed")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/cost.json"))
    options = parser.parse_args()
    points = [
        (title, make, base | {field: value}, value)
        for title, make, base, field, values in CURVES
        for value in values
    ]
    rows = [
        {"curve": title, "value": value} | measure(make, work, options.rounds)
        for title, make, work, value in tqdm(points, "Measuring", unit="point")
    ]
    cells = [
        [row["curve"], str(row["value"]), f"{row['seconds']:.3f}", f"{row['peak_gib']:.2f}"]
        for row in rows
    ]
    print_table(("", "value", "seconds", "peak GiB"), cells)
    save(options.output, rows)
    draw(options.output.with_suffix(".png"), rows)


def measure(make: Callable[..., Run], work: dict[str, int], rounds: int) -> dict[str, float]:
    """Seconds and peak memory, in GiB, of one point.

    Raises:
      RuntimeError: it could not run.
    """
    fields: dict[str, Any] = dict(work)
    first = fields.pop("first")
    fields |= {"features": [first * times for times in CHANNELS], "classes": 3, "dtype": "float32"}
    contender = Contender(make, huge_pages(), **fields)
    if contender.failure:
        raise RuntimeError(f"{work}: {contender.failure}")
    seconds = statistics.median([contender() for _ in range(rounds)])
    contender.finish()
    return {"seconds": seconds, "peak_gib": contender.peak_gib}


def exponent(values: Sequence[float], costs: Sequence[float]) -> float:
    """p of the power value^p that fits the costs best, as lines on logarithmic axes."""
    return float(np.polyfit(np.log(values), np.log(costs), 1)[0])


def draw(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Seconds, on logarithmic axes, above memory, from 0; a column for each curve."""
    titles = list(dict.fromkeys(row["curve"] for row in rows))
    figure = Figure(figsize=(DOUBLE, 3.2), layout="constrained")
    grid = figure.subplots(2, len(titles), sharex="col", squeeze=False)
    colour, line, marker = LINES[0]
    for column, title in enumerate(titles):
        points = [row for row in rows if row["curve"] == title]
        values = [row["value"] for row in points]
        time, memory = grid[:, column]
        for axes, key in ((time, "seconds"), (memory, "peak_gib")):
            costs = [row[key] for row in points]
            axes.plot(values, costs, color=colour, linestyle=line, marker=marker, ms=3.5, lw=1)
            axes.set_title(f"power {exponent(values, costs):.2f}", fontsize=SMALL)
            axes.grid(color="0.9", linewidth=0.6)
            axes.set_axisbelow(True)
            tidy(axes)
        time.set(xscale="log", yscale="log")
        time.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        time.yaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
        time.minorticks_off()
        memory.set_ylim(0, 1.1 * max(row["peak_gib"] for row in points))
        memory.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        memory.set_xticks(values, map(str, values))
        memory.minorticks_off()
        memory.set_xlabel(title.replace(": ", ":\n").replace(" of the", "\nof the"), fontsize=SMALL)
    grid[0, 0].set_ylabel("time (s)", fontsize=FONT)
    grid[1, 0].set_ylabel("peak memory (GiB)", fontsize=FONT)
    save_figure(figure, path)
    print(f"drawn in {path}")


if __name__ == "__main__":
    main()
