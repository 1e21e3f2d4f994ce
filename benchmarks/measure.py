"""Quantities of a volume of three phases beside the programs that people measure them with.

    pip install taufactor    # Where it is missing, its columns stay empty.
    python -m benchmarks.measure [--size=256] [--phases=0,1,2] [--axes=z,y,x] [--limit=600]

Each side measures the same phase of the same volume in this one run, one after the other, on all
cores of this machine (TauFactor on a GPU where PyTorch has one). Both stop where fluxes through all
planes agree to 1e-3; TauFactor, too, where `--limit` seconds are over, which is said. A tortuosity
factor is timed once compiled; the first has compiling beside it.
"""

import argparse
import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.structure import fingerprint, three_phases
from benchmarks.timing import machine, print_table, save
from xseg_jax.measure.tortuosity import estimate, tortuosity

TOLERANCE = 1e-3
HEADER = (
    "quantity", "phase", "axis", "ours", "s", "first s", "theirs", "s", "difference", "ratio"
)  # fmt: skip


@dataclass(frozen=True)
class Quantity:
    """What is timed for each phase and axis.

    Attributes:
      ours: of (phase_ZYX, axis), a value.
      theirs: the same by another program, (value, note), within so many seconds.
      package: of that program.
      compiles: whether its first call of a shape takes longer.
    """

    ours: Callable[[np.ndarray, int], float]
    theirs: Callable[[np.ndarray, int, float], tuple[float, str]]
    package: str
    compiles: bool


def our_tortuosity(phase_ZYX: np.ndarray, axis: int) -> float:
    """The factor along an axis."""
    return tortuosity(phase_ZYX, axis, tolerance=TOLERANCE).factor


def taufactor_tortuosity(phase_ZYX: np.ndarray, axis: int, limit: float) -> tuple[float, str]:
    """The factor along an axis by TauFactor, and whether it converged in time."""
    import taufactor
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    image_ZYX = np.ascontiguousarray(np.moveaxis(phase_ZYX, axis, 0)).astype(np.uint8)
    began = time.perf_counter()
    solver = taufactor.Solver(image_ZYX, device=device)
    factor, most = np.array([np.nan]), 0
    while not solver.converged and time.perf_counter() - began < limit:
        most += 100  # It looks at its fluxes every 100 iterations.
        with contextlib.redirect_stdout(None):  # It warns each time that it is not converged.
            factor = solver.solve(verbose=False, conv_crit=TOLERANCE, iter_limit=most)
    note = "" if solver.converged else f"stopped after {solver.iter} iterations"
    return float(factor[0]), note


# Another quantity is another line: ours, theirs, and whose it is.
QUANTITIES: dict[str, Quantity] = {
    "tortuosity": Quantity(our_tortuosity, taufactor_tortuosity, "taufactor", compiles=True),
}


def measured(
    name: str, class_ZYX: np.ndarray, phases: Sequence[int], axes: Sequence[int], limit: float
) -> list[dict[str, Any]]:
    """A row for each phase and axis."""
    quantity, rows = QUANTITIES[name], []
    for phase in phases:
        phase_ZYX = class_ZYX == phase
        for axis in axes:
            row: dict[str, Any] = {"quantity": name, "phase": phase, "axis": "zyx"[axis]}
            if quantity.compiles and not rows:
                began = time.perf_counter()
                quantity.ours(phase_ZYX, axis)
                row["first_seconds"] = time.perf_counter() - began
            began, worked = time.perf_counter(), time.process_time()
            row["ours"] = quantity.ours(phase_ZYX, axis)
            row["seconds"] = time.perf_counter() - began
            row["processor_seconds"] = time.process_time() - worked
            if util.find_spec(quantity.package):
                began, worked = time.perf_counter(), time.process_time()
                row["theirs"], row["note"] = quantity.theirs(phase_ZYX, axis, limit)
                row["their_seconds"] = time.perf_counter() - began
                row["their_processor_seconds"] = time.process_time() - worked
            print(row, flush=True)
            rows.append(row)
    return rows


def cells(row: Mapping[str, Any]) -> list[str]:
    """A row of the table; empty where the other program is missing."""
    shown = [row["quantity"], str(row["phase"]), row["axis"], f"{row['ours']:.4f}"]
    shown.append(f"{row['seconds']:.1f}")
    shown.append(f"{row['first_seconds']:.1f}" if "first_seconds" in row else "")
    if "theirs" not in row:
        return [*shown, "", "", "", ""]
    late = "> " if row["note"] else ""
    return [
        *shown, f"{row['theirs']:.4f}", late + f"{row['their_seconds']:.1f}",
        f"{row['ours'] / row['theirs'] - 1:+.2%}",
        late + f"{row['their_seconds'] / row['seconds']:.1f}",
    ]  # fmt: skip


def main() -> None:
    """Prints a table and saves it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256, help="edge of the volume, voxels")
    parser.add_argument("--phases", default="0,1,2")
    parser.add_argument("--axes", default="z,y,x")
    parser.add_argument("--limit", type=float, default=600, help="seconds for the other program")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/measure.json"))
    options = parser.parse_args()
    phases = [int(phase) for phase in options.phases.split(",")]
    axes = ["zyx".index(axis) for axis in options.axes.split(",")]
    class_ZYX = three_phases((options.size,) * 3)
    load = os.getloadavg()[0]
    expected = estimate(class_ZYX.shape)
    print(f"{options.size}^3 voxels, {machine()['processor']}, load {load:.1f} before; expected "
          f"{expected.bytes / 2**30:.1f} GiB and {expected.seconds:.0f} s a factor\n")  # fmt: skip
    rows = [
        row for name in QUANTITIES for row in measured(name, class_ZYX, phases, axes, options.limit)
    ]
    print_table(HEADER, [cells(row) for row in rows])
    facts = {"size": options.size, "crc32": fingerprint(class_ZYX), "load_before": load}
    save(options.output, {"work": facts, "rows": rows})


if __name__ == "__main__":
    main()
