"""Whether the variants of a study bear a worse scan: scores of its runs under degradations.

    python -m benchmarks.robustness --study=runs/recipe --input=other.tif \\
        --labels=other_labels.tif --degrade=white_noise,blur,ramp --output=runs/recipe_degraded

Every finished run of the study is scored by `main.py --mode=evaluate --degrade` in a folder of its
own; started again, what is there is not scored again. Differences of mean IoU to the base are
judged over seeds and corrected for the number of variants, for each strength by itself; a place is
not resampled, for all strengths are of the same slices.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from benchmarks.timing import print_table, save
from benchmarks.ways import MAIN
from xseg_jax.evaluation import statistics
from xseg_jax.evaluation.degrade import NETWORK
from xseg_jax.modes.evaluate import DEGRADED
from xseg_jax.modes.sweep import BASE
from xseg_jax.training.runlog import read_json

MARKS = {"better": "+", "worse": "-", "no difference shown": "", "no interval known": "?"}


def main() -> None:
    """Prints a line a variant, and saves them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True, help="folder of --mode=sweep")
    parser.add_argument("--input", required=True, help="a scan that no run was trained on")
    parser.add_argument("--labels", required=True, help="its labels")
    parser.add_argument("--degrade", default="white_noise,blur,ramp")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    found: dict[str, dict[int, Any]] = {}
    for results in sorted(options.study.glob("*/seed_*/results.json")):
        run = results.parent
        folder = options.output / run.parent.name / run.name
        if not (folder / DEGRADED).exists():
            score(run, folder, options.input, options.labels, options.degrade)
        seed = int(run.name.removeprefix("seed_"))
        found.setdefault(run.parent.name, {})[seed] = read_json(folder / DEGRADED)
    rows = judge(found)
    columns = list(dict.fromkeys(row["degradation"] for row in rows))
    print(f"mean IoU over seeds, {jax.devices()[0].device_kind}")
    print("+ better than the base, - worse, ? one seed\n")
    table: Any = pd.DataFrame(rows)
    print_table(
        ("variant", *columns),
        [
            [variant, *(f"{one.miou:.4f} {MARKS[one.verdict]:1}" for one in of_one.itertuples())]
            for variant, of_one in table.groupby("variant", sort=False)
        ],
    )
    used = {name: str(value) for name, value in vars(options).items()}
    save(options.output / "robustness.json", {"options": used, "rows": rows})


def score(run: Path, folder: Path, scan: str, labels: str, degradations: str) -> None:
    """Scores a run under degradations, the network alone."""
    subprocess.run(
        [
            sys.executable, str(MAIN), "--mode=evaluate", f"--degrade={degradations}",
            f"--workdir={run}", f"--input={scan}", f"--labels={labels}", f"--output={folder}",
            "--config.report.baselines=()", "--config.report.quantities=()",
            "--config.report.page=False",
        ],
        check=True,
    )  # fmt: skip


def judge(found: Mapping[str, Mapping[int, Any]]) -> list[dict[str, Any]]:
    """A row a variant and degradation: the mean IoU, and its difference to the base.

    Args:
      found: what `degraded.json` of each variant and seed holds; one variant is the base.
    """
    scores = {
        variant: {seed: scores_of(one) for seed, one in seeds.items()}
        for variant, seeds in found.items()
    }
    order = [BASE, *sorted(set(scores) - {BASE})]
    judged: dict[tuple[str, str], statistics.Difference] = {}
    columns = list(next(iter(scores[BASE].values())))
    for column in columns:
        differences = []
        for variant in order[1:]:
            seeds = sorted(scores[variant].keys() & scores[BASE].keys())
            both = [
                np.array([[scores[name][seed][column]] for seed in seeds])
                for name in (BASE, variant)
            ]
            differences.append(statistics.difference(*both, lambda mean: mean, paired=True))
        judged |= {
            (variant, column): one
            for variant, one in zip(order[1:], statistics.holm(differences), strict=True)
        }
    return [
        {
            "variant": variant,
            "degradation": column,
            "seeds": len(scores[variant]),
            "miou": float(np.mean([one[column] for one in scores[variant].values()])),
            **of_difference(judged.get((variant, column))),
        }
        for variant in order
        for column in columns
    ]


def of_difference(one: statistics.Difference | None) -> dict[str, Any]:
    """The fields of a row that say how a variant differs; of the base there are none."""
    if one is None:
        return {"difference": 0.0, "low": 0.0, "high": 0.0, "verdict": "no difference shown"}
    return {
        "difference": one.estimate, "low": one.low, "high": one.high, "verdict": one.verdict,
    }  # fmt: skip


def scores_of(degraded: Mapping[str, Any]) -> dict[str, float]:
    """Mean IoU of the network by degradation and strength."""
    rows = {
        f"{row['degradation']} {row['strength']:g}": row["scores"][NETWORK]["miou"]
        for row in degraded["rows"]
    }
    return {"clean": degraded["clean"][NETWORK]["miou"]} | rows


if __name__ == "__main__":
    main()
