"""Whether planes that a network doubts are worth more labels than evenly spaced ones.

    python -m benchmarks.labelling --scan=scan.tif --labels=labels.tif --candidates=0:32 \\
        --planes=32:64 [--more=3] [--seeds=0,1,2] [--config=configs/scan.py] --workdir=DIR

The scan is labelled all over. A run is trained on the middle one of the candidates; then another
on that and those that `next.csv` of its prediction names first, and one on as many evenly spaced
ones. They are scored on planes that lie apart, and differences are judged as those of a study, over
seeds and blocks of z (docs/ablations.md). What stands after `--` goes to every training. Started
again, it trains what is not finished.
"""

import argparse
import csv
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax
import numpy as np

from benchmarks.timing import print_table, save
from benchmarks.ways import MAIN, Found, judge, planes_of, segment
from xseg_jax.data.sources import Volume
from xseg_jax.scans.scan import open_scan

FIRST, EVENLY, DOUBT = "first plane alone", "evenly spaced", "those in doubt"


def main() -> None:
    """Prints a line a way of choosing, and saves them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/scan.py")
    parser.add_argument("--scan", required=True, help="a scan of any format")
    parser.add_argument("--labels", required=True, help="a volume of its shape, labelled all over")
    parser.add_argument("--candidates", type=planes_of, required=True, help="may be labelled")
    parser.add_argument("--planes", type=planes_of, required=True, help="are scored")
    parser.add_argument("--more", type=int, default=3, help="planes to label beside the first")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/labelling.json"))
    parser.add_argument("flags", nargs="*", help="of every training, after --")
    options = parser.parse_args()
    candidates = range(options.candidates.start, options.candidates.stop)
    train = partial(
        trained, config=options.config, scan=options.scan, labels=options.labels,
        flags=options.flags,
    )  # fmt: skip
    scored = partial(
        segment, flags=(), scan=options.scan, labels=options.labels, planes=options.planes
    )
    found: dict[str, list[Found]] = {FIRST: [], EVENLY: [], DOUBT: []}
    chosen = []
    for seed in options.seeds.split(","):
        folder = options.workdir / f"seed_{seed}"
        first = [candidates[len(candidates) // 2]]
        run = train(folder / "first", first, seed=seed)
        planes = {
            FIRST: first,
            EVENLY: evenly(candidates, 1 + options.more),
            DOUBT: sorted(first + doubted(run, options.scan, candidates, options.more)),
        }
        runs = {
            FIRST: run,
            EVENLY: train(folder / "evenly", planes[EVENLY], seed=seed),
            DOUBT: train(folder / "doubt", planes[DOUBT], seed=seed),
        }
        for name, one in runs.items():
            found[name].append(scored([str(one)]))
        chosen.append(planes)
        print(f"seed {seed}: in doubt {planes[DOUBT]}, evenly spaced {planes[EVENLY]}")
    rows = judge(found, EVENLY)
    print(f"{options.scan}, {len(chosen)} seeds, {jax.devices()[0].device_kind}\n")
    print_table(
        ("labelled", "accuracy", "mean IoU", "difference", "95% interval", "verdict"),
        [
            [
                row["way"], f"{row['accuracy']:.4f}", f"{row['miou']:.4f}",
                *(
                    [f"{row['difference']:+.4f}", f"{row['low']:+.4f} to {row['high']:+.4f}"]
                    if row["way"] != EVENLY
                    else ["", ""]
                ),
                row["verdict"],
            ]
            for row in rows
        ],
    )  # fmt: skip
    used = {name: str(value) for name, value in vars(options).items()}
    save(options.output, {"options": used, "chosen": chosen, "rows": rows})


def evenly(candidates: Sequence[int], count: int) -> list[int]:
    """The middles of as many equal parts."""
    middles = (np.arange(count) + 0.5) * len(candidates) / count
    return [candidates[int(middle)] for middle in middles]


def trained(
    run: Path, planes: Sequence[int], *, config: str, scan: str, labels: str, seed: str,
    flags: Sequence[str],
) -> Path:  # fmt: skip
    """The folder of a run that is trained on these planes."""
    subprocess.run(
        [
            sys.executable, str(MAIN), f"--config={config}", f"--workdir={run}",
            f"--config.data.images={scan}", f"--config.data.labels={labels}",
            f"--config.data.labelled=z={','.join(map(str, planes))}", f"--config.seed={seed}",
            *flags,
        ],
        check=True,
    )  # fmt: skip
    return run


def doubted(run: Path, scan: str, candidates: Sequence[int], count: int) -> list[int]:
    """Those of the candidates that a run names first, and was not trained on."""
    output = run.parent / "doubt.ome.zarr"
    subprocess.run(
        [
            sys.executable, str(MAIN), "--mode=predict", f"--workdir={run}", f"--input={scan}",
            f"--output={output}", "--uncertainty",
        ],
        check=True,
    )  # fmt: skip
    with open_scan(scan) as volume:
        places = {Volume(volume).plane_name(z): z for z in range(volume.shape[0])}
    middle = candidates[len(candidates) // 2]
    with output.with_name(f"{output.name}.next.csv").open() as file:
        ranked = [places[row["plane"]] for row in csv.DictReader(file)]
    return [z for z in ranked if z in candidates and z != middle][:count]


if __name__ == "__main__":
    main()
