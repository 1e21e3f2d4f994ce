"""What all axes, turns, neighbours and several runs gain on a volume, and what they cost.

    python -m benchmarks.ways --runs=runs/a,runs/b,runs/c --scan=scan.tif --labels=labels.tif \\
        [--wide=runs/d,runs/e,runs/f] [--planes=32:64] [--output=benchmarks/results/ways.json]

Runs are one config with several seeds, `--wide` the same with `data.context`. Each way segments
the scan by `main.py --mode=predict` in a process of its own, and is scored on all planes or on
those that lie far from the labelled ones; differences to plane by plane are judged as those of a
study, over seeds and blocks of z (docs/ablations.md).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import print_table, save
from xseg_jax.data.labels import LabelMap
from xseg_jax.evaluation import statistics
from xseg_jax.model.metrics import confusion_matrix, macro_scores
from xseg_jax.modes.run import DataFacts
from xseg_jax.modes.sweep import BASE as BASE_RUN
from xseg_jax.modes.sweep import verdict
from xseg_jax.scans.scan import Scan, open_scan

MAIN = Path(__file__).parents[1] / "main.py"
BASE = "plane by plane"
WAYS = {
    BASE: (),
    "--tta": ("--tta",),
    "--axes=all": ("--axes=all",),
    "--axes=all --tta": ("--axes=all", "--tta"),
}
BLOCKS = 4


@dataclass(frozen=True)
class Found:
    """What a way gave.

    Attributes:
      confusion_NKK: pixel counts of each plane.
      minutes: from the command to the finished volume.
      peak_gib: most memory of its process.
    """

    confusion_NKK: np.ndarray
    minutes: float
    peak_gib: float


def main() -> None:
    """Prints a line a way, and saves them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", required=True, help="folders of runs, with commas between")
    parser.add_argument("--wide", default="", help="the same runs with neighbours")
    parser.add_argument("--scan", required=True, help="a scan of any format")
    parser.add_argument("--labels", required=True, help="a volume of its shape, labelled all over")
    parser.add_argument("--planes", type=planes_of, default=slice(None), help="score from:to alone")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/ways.json"))
    options = parser.parse_args()
    runs, wide = (text.split(",") if text else [] for text in (options.runs, options.wide))
    found_by = partial(segment, scan=options.scan, labels=options.labels, planes=options.planes)
    found = {name: [found_by([run], flags) for run in runs] for name, flags in WAYS.items()}
    if wide:
        found["with neighbours"] = [found_by([run], ()) for run in wide]
        flags = ("--axes=all",)
        found["with neighbours, --axes=all"] = [found_by([run], flags) for run in wide]
    if len(runs) > 1:
        # One volume of all seeds: beside each of them.
        together = found_by(runs, ())
        found[f"{len(runs)} runs together"] = [together] * len(runs)
    rows = judge(found)
    print(f"{options.scan}, {len(runs)} seeds, {jax.devices()[0].device_kind}\n")
    print_table(
        ("way", "accuracy", "mean IoU", "difference", "95% interval", "verdict", "minutes", "GiB"),
        [
            [
                row["way"], f"{row['accuracy']:.4f}", f"{row['miou']:.4f}",
                *(
                    [f"{row['difference']:+.4f}", f"{row['low']:+.4f} to {row['high']:+.4f}"]
                    if row["way"] != BASE
                    else ["", ""]
                ),
                row["verdict"], f"{row['minutes']:.1f}", f"{row['peak_gib']:.2f}",
            ]
            for row in rows
        ],
    )  # fmt: skip
    used = vars(options) | {"output": None, "planes": str(options.planes)}
    save(options.output, {"options": used, "rows": rows})


def planes_of(text: str) -> slice:
    """From "32:64" the planes 32 to 63."""
    first, _, end = text.partition(":")
    return slice(int(first), int(end))


def segment(
    runs: Sequence[str], flags: Sequence[str], *, scan: str, labels: str, planes: slice
) -> Found:
    """Segments a scan in a process of its own, and scores planes of it."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "labels.ome.zarr"
        began = time.perf_counter()
        process = subprocess.Popen([
            sys.executable, str(MAIN), "--mode=predict", f"--workdir={','.join(runs)}",
            f"--input={scan}", f"--output={output}", *flags,
        ])  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        minutes = (time.perf_counter() - began) / 60
        if status:
            raise SystemExit(f"{runs}, {flags}: the prediction failed; see above")
        label_map = DataFacts.read(Path(runs[0])).label_map
        with open_scan(output) as predicted, open_scan(labels) as true:
            confusion_NKK = score(predicted, true, label_map, Path(labels), planes)
    return Found(confusion_NKK, minutes, usage.ru_maxrss / 2**20)


def score(
    predicted: Scan, true: Scan, label_map: LabelMap, labels: Path, planes: slice
) -> np.ndarray:
    """Confusion matrices (N, K, K) of planes."""
    classes = len(label_map.names)
    values = np.array(label_map.legend.values)
    order = np.argsort(values)
    rows = []
    for n in range(true.shape[0])[planes]:
        label_HW = label_map.encode(true.plane(n).astype(np.int64), labels)
        class_HW = order[np.searchsorted(values, predicted.plane(n), sorter=order)]
        rows.append(
            np.asarray(confusion_matrix(jnp.asarray(label_HW), jnp.asarray(class_HW), classes))
        )
    return np.stack(rows)


def judge(found: dict[str, list[Found]], base: str = BASE) -> list[dict[str, Any]]:
    """A row a way: scores, difference of mean IoU to the base with its interval, and the cost."""
    blocks = {
        name: np.stack([statistics.blocks_of(one.confusion_NKK, BLOCKS) for one in ways])
        for name, ways in found.items()
    }

    def miou(confusion_XKK: np.ndarray) -> np.ndarray:
        return macro_scores(confusion_XKK)["miou"]

    others = [name for name in blocks if name != base]
    differences = [
        statistics.difference(blocks[base], blocks[name], miou, paired=True) for name in others
    ]
    judged = dict(zip(others, statistics.holm(differences), strict=True))
    rows = []
    for name, ways in found.items():
        scores = macro_scores(blocks[name].sum(axis=1))
        one = judged.get(name)
        rows.append({
            "way": name,
            "accuracy": float(np.mean(scores["accuracy"])),
            "miou": float(np.mean(scores["miou"])),
            "difference": one.estimate if one else None,
            "low": one.low if one else None,
            "high": one.high if one else None,
            "verdict": verdict(BASE_RUN if name == base else name, len(ways), one),
            "minutes": float(np.mean([way.minutes for way in ways])),
            "peak_gib": float(np.max([way.peak_gib for way in ways])),
        })  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
