"""Whole volumes from file to file: beside the network alone, and a loop that holds all in memory.

    python -m benchmarks.volume [--sides=128,256,512] [--rounds=1] [--workdir=runs/scan]

Cubes of uint16 are segmented from an uncompressed TIFF into an OME-Zarr by `main.py
--mode=predict`, from the first block to the last byte (start-up and compilation are told apart).
Beside it: the network alone, on normalised images in memory, whose masks nobody wants, which is the
limit; and the plain loop of most scripts, which loads the stack, and keeps float32 probabilities.
Each is a process of its own, one after the other. Cubes above 512 are sparse files, which hold
nothing; the loop is left out where it needs more memory than there is.
"""

import argparse
import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile

from benchmarks.timing import host_gib, machine, print_table, save
from benchmarks.ways import MAIN
from xseg_jax.data.intensity import Normalizer
from xseg_jax.memory import huge_pages
from xseg_jax.modes.trained import TrainedRun

FILLED = 512
"""Larger cubes are sparse."""
PERIOD = 64
"""Planes after which a cube repeats itself."""
ALONE = 32
"""Images that the network is timed on alone."""
TRAINED = (
    "--config=configs/tiny.py", "--config.data.normalize=scan", "--config.epochs=1",
    "--config.model.features=16,32,64,128", "--config.inference.tile=512",
    "--config.inference.overlap=64", "--config.report.baselines=()",
    "--config.report.quantities=()", "--config.report.page=False",
)  # fmt: skip
"""A run with the default's network, of a few seconds: its speed does not depend on its weights."""
OURS, LIMIT, PLAIN = "main.py --mode=predict", "network alone", "plain loop, all in memory"
HEADER = ("cube", "way", "Mvoxels/s", "of the limit", "peak GiB", "waits: read", "write")


class Timed(NamedTuple):
    """What a way took.

    Attributes:
      seconds: of the whole volume, without start-up.
      peak_gib: most memory of its process, with Python and its libraries.
      read: seconds in which nothing was computed, for reading had not ended; nan if not known.
      write: the same of writing.
    """

    seconds: float
    peak_gib: float
    read: float = np.nan
    write: float = np.nan


def main() -> None:
    """Prints a table and saves it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", default="128,256,512", help="of the cubes, up to 1024 or so")
    parser.add_argument("--rounds", type=int, default=1, help="times that each is timed")
    parser.add_argument("--workdir", type=Path, help="a trained run; else one is made")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/volume.json"))
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        run = options.workdir or trained(Path(folder) / "run")
        for side in map(int, options.sides.split(",")):
            scan = make_cube(Path(folder) / f"cube_{side}.tif", side)
            ways: dict[str, Callable[[], Timed]] = {
                LIMIT: partial(apart, alone, run, scan),
                OURS: partial(from_file_to_file, run, scan),
            }
            needed = held_by_loop(run, side)
            if needed < memory_gib():
                ways[PLAIN] = partial(apart, loop, run, scan)
            else:
                print(f"{PLAIN}: needs {needed:.0f} GiB for {side} cubed, and is left out")
            rounds = [{way: time_it() for way, time_it in ways.items()}
                      for _ in range(options.rounds)]  # fmt: skip
            rows += [summary(side, way, rounds) for way in ways]
            scan.unlink()
    print_table(HEADER, [[
        f"{row['side']}^3", row["way"], f"{row['voxels_per_second'] / 1e6:.2f}",
        f"{row['of_the_limit']:.2f}", f"{row['peak_gib']:.2f}",
        *("" if np.isnan(row[key]) else f"{row[key]:.1%}" for key in ("read", "write")),
    ] for row in rows])  # fmt: skip
    print(machine()["processor"])
    save(options.output, rows)


def summary(side: int, way: str, rounds: list[dict[str, Timed]]) -> dict[str, Any]:
    """A row of the table: medians over the rounds."""
    seconds, limit = (statistics.median(one[name].seconds for one in rounds)
                      for name in (way, LIMIT))  # fmt: skip
    return {
        "side": side, "way": way, "seconds": seconds, "voxels_per_second": side**3 / seconds,
        "of_the_limit": limit / seconds,
        "peak_gib": max(one[way].peak_gib for one in rounds),
        "read": statistics.median(one[way].read / one[way].seconds for one in rounds),
        "write": statistics.median(one[way].write / one[way].seconds for one in rounds),
    }  # fmt: skip


def trained(workdir: Path) -> Path:
    """A run of a few steps."""
    subprocess.run(
        [sys.executable, str(MAIN), *TRAINED, f"--workdir={workdir}"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return workdir


def make_cube(path: Path, side: int) -> Path:
    """An uncompressed TIFF of a cube: three phases and noise, or, above `FILLED`, nothing."""
    cube_ZYX = tifffile.memmap(path, shape=(side,) * 3, dtype=np.uint16, bigtiff=True)
    if side <= FILLED:
        rng = np.random.default_rng(0)
        coarse_ZYX = rng.integers(1, 4, (PERIOD // 8, -(-side // 8), -(-side // 8)))
        planes_ZYX = np.kron(coarse_ZYX, np.ones((8, 8, 8), int))[:, :side, :side] * 9_000
        planes_ZYX = planes_ZYX + rng.normal(0, 900, planes_ZYX.shape)
        for z in range(side):
            cube_ZYX[z] = planes_ZYX[z % PERIOD].astype(np.uint16)
    cube_ZYX.flush()
    return path


def memory_gib() -> float:
    """Of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def held_by_loop(run: Path, side: int) -> float:
    """GiB that `loop` holds: the scan, normalised, and the probabilities, twice while stacked."""
    classes = len(TrainedRun.load(run).facts.label_map.names)
    return side**3 * (2 + 4 + 2 * 4 * classes) / 2**30


def from_file_to_file(run: Path, scan: Path) -> Timed:
    """`main.py --mode=predict`, from the first block on."""
    with tempfile.TemporaryDirectory(dir=scan.parent) as folder:
        process = subprocess.Popen(
            [
                sys.executable, str(MAIN), "--mode=predict", f"--workdir={run}", f"--input={scan}",
                f"--output={Path(folder) / 'labels.ome.zarr'}",
            ],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        said, began = [], np.nan
        for line in process.stdout:
            said.append(line)
            if line.startswith("estimated:"):
                began = time.perf_counter()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    told = "".join(said)
    waits = re.search(r"it waited ([\d.]+) s for the scan and ([\d.]+) s for the output", told)
    if status or not waits:
        raise SystemExit(f"the prediction failed:\n{told}")
    return Timed(seconds, usage.ru_maxrss / 2**20, *map(float, waits.groups()))


def apart(way: Callable[[Path, Path], float], run: Path, scan: Path) -> Timed:
    """Times a way in a process of its own, as main.py starts its."""
    os.environ.update(huge_pages())
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_measured, way, run, scan).result()


def _measured(way: Callable[[Path, Path], float], run: Path, scan: Path) -> Timed:
    return Timed(way(run, scan), host_gib("VmHWM"))


def alone(run: Path, scan: Path) -> float:
    """Seconds of the network for a cube, from those for some of its images in memory."""
    network, cube_ZYX = TrainedRun.load(run), tifffile.memmap(scan, mode="r")
    images = normalised(cube_ZYX[:ALONE])

    def segment(count: int) -> float:
        began = time.perf_counter()
        for _ in network.predict(itertools.islice(itertools.cycle(images), count)):
            pass
        return time.perf_counter() - began

    segment(4)  # Compiles.
    least = max(ALONE, 2**24 // images[0].size)  # Small images are no time at all.
    return segment(least) / least * len(cube_ZYX)


def loop(run: Path, scan: Path) -> float:
    """Seconds of loading a stack, segmenting all of it, and writing the labels."""
    network = TrainedRun.load(run)
    list(network.predict(iter(normalised(tifffile.memmap(scan, mode="r")[:4]))))  # Compiles.
    began = time.perf_counter()
    images = normalised(tifffile.imread(scan))
    probability_ZYXK = np.stack(list(network.predict(iter(images))))
    labels_ZYX = probability_ZYXK.argmax(axis=-1).astype(np.uint8)
    with tempfile.TemporaryDirectory(dir=scan.parent) as folder:
        tifffile.imwrite(Path(folder) / "labels.tif", labels_ZYX)
    return time.perf_counter() - began


def normalised(gray_ZYX: np.ndarray) -> list[np.ndarray]:
    """Network input (H, W, 1) of planes, all in memory."""
    scale = Normalizer.fit(list(gray_ZYX[:: max(1, len(gray_ZYX) // 32)]))
    return [scale(plane_YX)[..., None] for plane_YX in gray_ZYX]


if __name__ == "__main__":
    main()
